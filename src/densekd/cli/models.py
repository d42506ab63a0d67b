"""Commands about models and losses: ``inspect``, ``convert``, ``models``, ``losses``."""

from pathlib import Path
from typing import Annotated

import typer

from densekd.cli.arguments import JsonPath, ModelPath, Trust, refuse_exported
from densekd.cli.console import catalogue_rows, console, print_next, print_notes, print_plain, table_rows, write_json
from densekd.cli.own_files import CONVERTED, INSPECTED, LISTED, MODELS, Force, require_own_json
from densekd.errors import RecipeError
from densekd.trust import trust_modules


def inspect(
    model: Annotated[str, typer.Argument(help="model name, run folder, student folder, checkpoint or its URL")],
    options: Annotated[
        list[str] | None,
        typer.Argument(help="key=value that a name or file does not say", show_default=False),
    ] = None,
    size: Annotated[str, typer.Option(help="height x width of the input")] = "512x512",
    modules: Annotated[
        bool, typer.Option("--modules", help="list also the path of every module, for taps, and what it returns")
    ] = False,
    features: Annotated[
        bool, typer.Option("--features", help="draw t-SNE, PCA and channel maps of a run's models as a page")
    ] = False,
    images: Annotated[int, typer.Option(min=1, help="with --features: images that are drawn")] = 8,
    pixels: Annotated[int, typer.Option(min=2, max=1000, help="with --features: at most so many a class")] = 100,
    tap: Annotated[str | None, typer.Option(help="with --features: default: before the classifier")] = None,
    teacher_tap: Annotated[str | None, typer.Option(help="with --features: where the teacher's differs")] = None,
    data: Annotated[
        Path | None, typer.Option(help="with --features: data folder or recipe; default: the run's")
    ] = None,
    trust: Trust = None,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Show what a checkpoint holds. Parameters, multiply-adds, and taps with their shapes.

    With --features: draw the features of a run's teacher, student and baseline.
    """
    require_own_json(json, INSPECTED, force)
    trust_modules(trust)
    if features:
        from densekd.report.features import FeatureOptions
        from densekd.run.features import draw_features

        refuse_options(options)
        page, notes = draw_features(Path(model), FeatureOptions(images, pixels, tap, teacher_tap), data)
        print_notes(notes)
        print_plain(f"features: {page}")
        write_json(json, {"model": model, "tables": [], "features": str(page)})
        print_next("densekd", "doctor", model, trust=trust)
        return
    if tap or teacher_tap or data:
        raise RecipeError("--tap, --teacher-tap and --data belong to --features: add it.")
    refuse_exported(model)
    from densekd.cli.inspection import describe

    tables = describe(model, options or [], size, modules)
    for table in tables:
        console.print(table)
    write_json(json, {"model": model, "tables": [table_rows(table) for table in tables]})
    if Path(model).exists():
        print_next("densekd", "evaluate", model, "--data", "DATA", listing=True)


def refuse_options(options: list[str] | None) -> None:
    """Refuse ``key=value`` beside ``--features``: a run says everything about its models."""
    if options:
        raise RecipeError(f"--features: a run folder says what its models are; remove {' '.join(options)}.")


def convert(
    model: ModelPath,
    out: Annotated[Path, typer.Argument(help="OUT.safetensors, OUT.pth, or a folder for a package")],
    classes: Annotated[
        str | None, typer.Option(help="whose classes they are: cityscapes, ade20k, voc, cocostuff")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option("--model", help="architecture of a file that does not say it")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", help="key=value of it, for instance family=mmdet_caffe"),
    ] = None,
    num_classes: Annotated[int | None, typer.Option(help="where neither the file nor its weights tell")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace what is there")] = False,
    trust: Trust = None,
    json: JsonPath = None,
) -> None:
    """Write any known checkpoint as a package or plain weights. These are under our names."""
    if out.suffix == ".onnx":
        raise RecipeError(
            f"{out}: convert writes .safetensors, .pth or a package; for ONNX: densekd export MODEL --to onnx."
        )
    require_own_json(json, CONVERTED, force)
    from densekd.cli.inspection import read_options
    from densekd.models.convert import convert as run_convert
    from densekd.models.open import open_model

    trust_modules(trust)
    opened = open_model(model, model=architecture, options=read_options(options or []), num_classes=num_classes)
    config = run_convert(opened, out, classes, "replace" if force else "refuse").config
    print_notes(opened.notes)
    print_plain(f"{config.model}, {len(config.classes)} classes: {out}")
    found = {"model": config.model, "options": config.options, "classes": list(config.classes), "out": str(out)}
    write_json(json, found)
    if out.is_dir() or out.suffix == ".safetensors":
        print_next("densekd", "evaluate", out, "--data", "DATA")


def models(
    size: Annotated[str, typer.Option(help="height x width that multiply-adds are counted at")] = "512x1024",
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """List architectures and backbones. Typical models with size, cost, published scores."""
    from densekd.cli.inspection import describe_models, measured_table

    require_own_json(json, MODELS, force)
    table, rows = describe_models(size)
    console.print(table, measured_table(rows, size))
    write_json(json, rows)
    print_next("densekd", "inspect", rows[0]["model"], listing=True)


def losses(json: JsonPath = None, force: Force = False) -> None:
    """List the distillation losses."""
    from densekd.cli.inspection import describe_losses

    require_own_json(json, LISTED, force)
    table = describe_losses()
    console.print(table)
    write_json(json, catalogue_rows(table))
    print_next("densekd", "docs", "loss", "cwd", listing=True)
