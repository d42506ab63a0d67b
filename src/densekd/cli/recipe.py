"""Commands about recipes: ``schema`` and ``docs``."""

import json
import sys
from typing import Annotated

import typer


def schema() -> None:
    """Print the JSON schema of a recipe, for editors."""
    from densekd.cli.schema import recipe_schema

    sys.stdout.write(json.dumps(recipe_schema(), indent=1) + "\n")


def docs(
    subject: Annotated[
        str,
        typer.Argument(help="recipe: every key; losses: the catalogue; loss, model, dataset, adapter, task, logger"),
    ],
    name: Annotated[str | None, typer.Argument(help="of a loss, model, ...; without it all are listed")] = None,
) -> None:
    """Print the reference of a recipe's keys, or of what they name, as Markdown."""
    from densekd.cli.catalogue import catalogue
    from densekd.cli.reference import component_reference, recipe_reference, table_reference

    if subject == "recipe":
        text = recipe_reference()
    elif subject == "losses":
        text = catalogue()
    elif name is None:
        text = table_reference(subject)
    else:
        text = component_reference(subject, name)
    sys.stdout.write(text)
