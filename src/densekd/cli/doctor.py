"""Command ``doctor``: why did distillation not help, with evidence and what to change."""

from pathlib import Path
from typing import Annotated

import typer

from densekd.cli.arguments import JsonPath, Overrides, RecipePath, Trust, read_recipe
from densekd.cli.console import console, print_next, print_plain, write_json
from densekd.cli.own_files import FINDINGS, Force, require_own_json
from densekd.quiet import silence_libraries
from densekd.trust import trust_modules


def doctor(
    recipe: RecipePath,
    overrides: Overrides = None,
    quick: Annotated[bool, typer.Option("--quick", help="run no model and compare no images")] = False,
    json: JsonPath = None,
    force: Force = False,
    trust: Trust = None,
) -> None:
    """Examine a recipe or run: data, teacher, terms, curves. Exit status 1 where something was found."""
    require_own_json(json, FINDINGS, force)
    trust_modules(trust)
    loaded = read_recipe(recipe, overrides)
    from densekd.doctor.examine import examine, findings_table

    silence_libraries()
    run = Path(recipe) if (Path(recipe) / "recipe.yaml").is_file() else None
    found = examine(loaded, run, quick)
    write_json(json, {"healthy": not found, "findings": [finding.as_row() for finding in found]})
    if not found:
        print_plain("nothing found")
        print_next("densekd", "evaluate" if run else "train", recipe, trust=trust)
        return
    console.print(findings_table(found))
    # What to change is a key of the recipe.
    if run is None:
        print_next("densekd", "check", recipe, *(overrides or ()), trust=trust)
    else:
        print_next("densekd", "train", run / "recipe.yaml", "KEY=VALUE", "--run", "runs/NAME", trust=trust)
    raise typer.Exit(1)
