"""Commands about recipes: ``recipes``, ``schema`` and ``docs``."""

from json import dumps
from typing import Annotated, Literal

import typer

from densekd.cli.arguments import JsonPath
from densekd.cli.own_files import PRESET, Force, require_own_json
from densekd.terminal import write_document


def recipes(
    pattern: Annotated[str, typer.Argument(help="part of a name, or a pattern: cirkd-*, *-voc-*")] = "",
    write: Annotated[bool, typer.Option("--write", help="print the one recipe as a YAML file")] = False,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """List the recipes that have a name. Student, teacher, data, published score."""
    from densekd.cli.console import console, print_next, write_json
    from densekd.cli.presets import find_presets, preset_table
    from densekd.presets.write import to_yaml

    require_own_json(json, PRESET, force)
    found = find_presets(pattern, one=write)
    if write:
        write_document(to_yaml(found[0]))
        return
    console.print(preset_table(found))
    keys = ("name", "system", "student", "teacher", "method", "data", "source", "published")
    write_json(json, [{key: getattr(preset, key) for key in keys} for preset in found])
    print_next("densekd", "train", "NAME", "data.root=DATA", listing=True)


def schema(
    of: Annotated[Literal["recipe", "sweep"], typer.Argument(help="recipe, or sweep")] = "recipe",
) -> None:
    """Print the JSON schema of a recipe or a sweep, for editors."""
    from densekd.cli.schema import recipe_schema, sweep_schema

    content = recipe_schema() if of == "recipe" else sweep_schema()
    write_document(dumps(content, indent=1) + "\n")


def docs(
    subject: Annotated[
        str,
        typer.Argument(
            help="recipe: every key; commands: the command line; losses: the catalogue; presets: the original "
            "experiments; loss, model, dataset, adapter, task, logger"
        ),
    ],
    name: Annotated[str | None, typer.Argument(help="of a loss, model, ...; without it all are listed")] = None,
) -> None:
    """Print the reference of a recipe's keys. Or of what they name, as Markdown."""
    from densekd.cli.catalogue import catalogue
    from densekd.cli.presets import preset_reference
    from densekd.cli.reference import component_reference, recipe_reference, table_reference

    if subject == "recipe":
        text = recipe_reference()
    elif subject == "commands":
        from densekd.cli.app import app
        from densekd.cli.command_reference import command_reference

        text = command_reference(app)
    elif subject == "losses":
        text = catalogue()
    elif subject == "presets":
        text = preset_reference()
    elif name is None:
        text = table_reference(subject)
    else:
        text = component_reference(subject, name)
    write_document(text)
