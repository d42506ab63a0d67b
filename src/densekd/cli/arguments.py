"""Arguments that several commands share, and what they name: recipe files, models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from densekd.recipe import Recipe


def located(name: str) -> Path:
    """Return the file or folder that a path or URL names, downloaded where it is a URL."""
    from densekd.models.checkpoints.download import located as download

    return download(name)


RecipePath = Annotated[
    str,
    typer.Argument(help="a YAML file, a run folder, or a name that 'densekd recipes' lists"),
]
ModelPath = Annotated[
    Path,
    typer.Argument(parser=located, help="run folder, student folder, checkpoint or its URL"),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key.path=value, as in the recipe", show_default=False),
]
# What the evaluation of a finished model may change of its recipe.
EvaluationOverrides = Annotated[
    list[str] | None,
    typer.Argument(help="key=value, as in the recipe's evaluation section", show_default=False),
]
RunPath = Annotated[Path | None, typer.Option("--run", help="run folder; default runs/<name>")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="delete the run folder first")]
JsonPath = Annotated[Path | None, typer.Option("--json", help="also write the numbers here")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="processes")]


def read_recipe(name: str, overrides: list[str] | None) -> "Recipe":
    """Read the recipe that :data:`RecipePath` names, with overrides applied.

    Raises:
        RecipeError: no such recipe, or a wrong one.
    """
    from densekd.recipe.shipped import named_recipe

    return named_recipe(name, overrides or ())
