"""Arguments that several commands share, and what they name: recipe files, models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densekd.errors import RecipeError

if TYPE_CHECKING:
    from densekd.recipe import Recipe


# Suffixes of files that models are exported to.
_EXPORTED = {
    ".onnx": "an ONNX file",
    ".engine": "a TensorRT engine",
    ".trt": "a TensorRT engine",
    ".plan": "a TensorRT engine",
    ".tflite": "a TFLite file",
    ".mlmodel": "a Core ML model",
    ".mlpackage": "a Core ML model",
    ".pt2": "an exported program of torch",
}


def located(name: str) -> Path:
    """Return the file or folder that a path or URL names, downloaded where it is a URL."""
    from densekd.models.checkpoints.download import located as download

    refuse_exported(name)
    return download(name)


def refuse_exported(name: str) -> None:
    """Refuse files that a model was exported to: they run elsewhere and hold no model that can be opened.

    Raises:
        RecipeError: ONNX, TensorRT, TFLite, Core ML, OpenVINO.
    """
    suffix = Path(name).suffix.lower()
    if suffix in _EXPORTED:
        raise RecipeError(
            f"{name}: {_EXPORTED[suffix]}, which is a way out and no model that densekd opens. Name the run folder, "
            "student package or checkpoint that it was exported from; its torch module is densekd.load(...), and "
            "'densekd export MODEL --to onnx,openvino,torch' writes it for engines."
        )


RecipePath = Annotated[
    str,
    typer.Argument(help="a YAML file, a run folder, or a name that 'densekd recipes' lists"),
]
_MODEL = typer.Argument(parser=located, help="run folder, student folder, checkpoint or its URL")
ModelPath = Annotated[Path, _MODEL]
OptionalModelPath = Annotated[Path | None, _MODEL]
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
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the run, once its successor has a checkpoint")]
JsonPath = Annotated[
    Path | None,
    typer.Option("--json", help="also write the numbers to a file; -: to the standard output, and nothing else"),
]
Workers = Annotated[int, typer.Option("--workers", min=0, help="processes")]


Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="MODULE[:NAME]",
        help="module of yours that a package, or the recipe in another's run, may name; may be repeated",
    ),
]


def read_recipe(name: str, overrides: list[str] | None) -> "Recipe":
    """Read the recipe that :data:`RecipePath` names, with overrides applied.

    Raises:
        RecipeError: no such recipe, or a wrong one.
    """
    from densekd.recipe.shipped import named_recipe

    return named_recipe(name, overrides or ())
