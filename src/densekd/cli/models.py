"""Commands about models and losses: ``inspect``, ``convert``, ``models``, ``losses``."""

from pathlib import Path
from typing import Annotated

import typer

from densekd.cli.arguments import JsonPath, ModelPath, located
from densekd.cli.console import console, print_plain, write_json


def inspect(
    model: Annotated[str, typer.Argument(help="model name, run folder, student folder, checkpoint or its URL")],
    options: Annotated[list[str] | None, typer.Argument(help="key=value for a model name", show_default=False)] = None,
    size: Annotated[str, typer.Option(help="height x width of the input")] = "512x512",
) -> None:
    """Show what a checkpoint holds; parameters, multiply-adds, and taps with their shapes."""
    from densekd.cli.inspection import describe_file, describe_model

    path = located(model)
    described = describe_file(path)
    if described is not None:
        console.print(described)
    console.print(describe_model(str(path), options or [], size))


def convert(
    model: ModelPath,
    out: Annotated[Path, typer.Argument(help="OUT.safetensors, OUT.pth, or a folder for a package")],
    classes: Annotated[
        str | None, typer.Option(help="whose classes they are: cityscapes, ade20k, voc, cocostuff")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace what is there")] = False,
) -> None:
    """Write any known checkpoint as a densekd package, or as plain weights under densekd's names."""
    from densekd.models.open import convert as run_convert

    _, config = run_convert(model, out, classes, "replace" if force else "refuse")
    print_plain(f"{config.model}, {len(config.classes)} classes: {out}")


def models(
    size: Annotated[str, typer.Option(help="height x width that multiply-adds are counted at")] = "512x1024",
    json: JsonPath = None,
) -> None:
    """List architectures, backbones, and typical configurations with their size, cost and published scores."""
    from densekd.cli.inspection import describe_models, measured_table

    table, rows = describe_models(size)
    console.print(table, measured_table(rows, size))
    write_json(json, rows)


def losses() -> None:
    """List the distillation losses."""
    from densekd.cli.inspection import describe_losses

    console.print(describe_losses())
