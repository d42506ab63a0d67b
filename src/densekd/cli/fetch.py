"""Command that brings the weights of a recipe: ``fetch``."""

from pathlib import Path
from typing import Annotated

import typer

from densekd.cli.arguments import Overrides, RecipePath, read_recipe
from densekd.cli.console import print_error, print_next, print_plain


def fetch(
    recipe: RecipePath,
    overrides: Overrides = None,
    to: Annotated[Path, typer.Option("--to", help="folder that the recipe's paths start from")] = Path(),
) -> None:
    """Download the teacher and the backbone that a recipe names; exit 1 if some must come by hand."""
    from densekd.run.fetch import fetch as run_fetch
    from densekd.run.fetch import sources_of

    sources = sources_of(read_recipe(recipe, overrides))
    results = run_fetch(sources, to, lambda result: _tell(result.source, result.state, result.message))
    missing = [result.message for result in results if result.state == "missing"]
    if not results:
        print_plain("the recipe names no weights")
    if missing:
        print_error("\n  ".join([f"{len(missing)} of {len(results)} must be got by hand:", *missing]))
        raise typer.Exit(1)
    print_next("densekd", "check", recipe, *(overrides or ()))


def _tell(source: str, state: str, message: str) -> None:
    """Print a line for what is there; what is missing is listed at the end."""
    if state != "missing":
        print_plain(f"{state:8} {source}: {message}")
