"""Command that brings the weights of a recipe: ``fetch``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from densekd.cli.arguments import JsonPath, Overrides, RecipePath, read_recipe
from densekd.cli.console import print_error, print_next, print_plain, write_json
from densekd.cli.own_files import FETCHED, Force, require_own_json


def fetch(
    recipe: RecipePath,
    overrides: Overrides = None,
    to: Annotated[Path, typer.Option("--to", help="folder that the recipe's paths start from")] = Path(),
    carry: Annotated[
        Path | None, typer.Option(help="folder to make for a machine without a network: all that the recipe needs")
    ] = None,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Download the teacher and the backbone of a recipe. Exit status 1 if some must come by hand."""
    require_own_json(json, FETCHED, force)
    loaded = read_recipe(recipe, overrides)
    if carry is not None:
        # The libraries read this when they are imported.
        from densekd.run.carry import use_caches_in

        use_caches_in(carry)
    from densekd.run.fetch import fetch as run_fetch
    from densekd.run.fetch import sources_of

    sources = sources_of(loaded)
    place = carry or to
    results = run_fetch(
        sources, place, lambda result: _tell(result.source, result.state, result.message), carry is not None
    )
    weights = [asdict(result) for result in results]
    write_json(json, {"recipe": recipe, "to": str(place), "weights": weights})
    missing = [result.message for result in results if result.state == "missing"]
    if not results:
        print_plain("the recipe names no weights")
    if carry is not None:
        from densekd.run.carry import how_to_use, write_carried

        size = write_carried(loaded, carry)
        print_plain(f"to carry: {carry}, {size / 1e6:.1f} MB; there, in it:")
        for line in how_to_use():
            print_plain(f"  {line}")
    if missing:
        print_error("\n  ".join([f"{len(missing)} of {len(results)} must be got by hand:", *missing]))
        raise typer.Exit(1)
    if carry is None:
        print_next("densekd", "check", recipe, *(overrides or ()))


def _tell(source: str, state: str, message: str) -> None:
    """Print a line for what is there; what is missing is listed at the end."""
    if state != "missing":
        print_plain(f"{state:8} {source}: {message}")
