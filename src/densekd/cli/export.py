"""Command ``export``: a model becomes verified artefacts of inference engines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densekd.cli.arguments import JsonPath, OptionalModelPath, Trust
from densekd.cli.console import console, print_next, print_notes, print_plain, write_json
from densekd.cli.own_files import VERDICTS, Force, require_own_json
from densekd.errors import RecipeError
from densekd.trust import trust_modules

if TYPE_CHECKING:
    from densekd.export.verdict import Verdict


def export(
    model: OptionalModelPath = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            help="engines, separated by commas: onnx, openvino, torch, ncnn, litert, coreml, executorch, tensorrt",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="height x width of the input; default: what the recipe evaluates at")
    ] = None,
    batch: Annotated[str, typer.Option(help="pictures at once, or 'dynamic'")] = "1",
    output: Annotated[
        str | None, typer.Option(help="segmentation: logits, scores, labels; detection: boxes, raw")
    ] = None,
    kind: Annotated[str, typer.Option("--input", help="float: RGB in [0, 1]; uint8: the picture as it is")] = "float",
    precision: Annotated[list[str] | None, typer.Option(help="fp32, fp16, int8; separated by commas")] = None,
    data: Annotated[
        Path | None, typer.Option(help="data folder or recipe to verify on; default: the run's own data")
    ] = None,
    allow: Annotated[float, typer.Option(help="points of the score that fp16 and int8 may cost")] = 0.5,
    calibrate: Annotated[int, typer.Option(help="training pictures that int8 measures its ranges on")] = 300,
    keep_float: Annotated[
        list[str] | None, typer.Option(help="layers that int8 leaves in float: names, last, auto (what costs most)")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="keep what was refused, as *.refused")] = False,
    out: Annotated[Path | None, typer.Option(help="default: export/ in the run or beside the model")] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option("--setup", help="make the environment of an engine first: ncnn, litert, coreml, executorch"),
    ] = None,
    trust: Trust = None,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Write a model for inference engines. What was not loaded, compared and scored there is refused."""
    if setup:
        _set_up(setup)
        if model is None and to is None:
            return
    if model is None or not to:
        raise RecipeError("export: name a model and the engines, for instance export runs/student --to onnx.")
    require_own_json(json, VERDICTS, force)
    from densekd.cli.verdicts import class_lines, verdict_table
    from densekd.export.export import export_opened
    from densekd.export.options import ExportOptions, parse_batch, parse_size, words
    from densekd.models.open import open_model

    options = ExportOptions(
        size=None if size is None else parse_size(size),
        batch=parse_batch(batch),
        output=output,
        input=kind,  # type: ignore[arg-type]
        data=data,
        allow=allow,
        calibrate=calibrate,
        keep_float=tuple(words(keep_float)) if keep_float else None,
        keep=keep,
        out=out,
    )
    trust_modules(trust)
    opened = open_model(model)
    print_notes(opened.notes)
    verdicts = export_opened(opened, model, to, precision or ["fp32"], options, _tell)
    console.print(verdict_table(verdicts))
    for line in class_lines(verdicts):
        print_plain(line)
    write_json(json, [verdict.to_json() for verdict in verdicts])
    if any(not verdict.passed for verdict in verdicts):
        raise typer.Exit(1)
    # A folder of exports stands for all in it.
    folders = {Path(verdict.folder).parent for verdict in verdicts if verdict.folder}
    print_next("densekd", "benchmark", model, *sorted(folders), trust=trust)


def _set_up(names: list[str]) -> None:
    """Make the environments of engines."""
    from densekd.export.environments import set_up
    from densekd.export.options import words

    for name in words(names):
        set_up(name, print_plain)


def _tell(verdict: "Verdict") -> None:
    """Say what became of an artefact, as soon as it is known."""
    from densekd.export.verdict import TITLES

    name = f"{verdict.engine}-{verdict.precision}"
    reason = f": {verdict.reason}" if verdict.reason else ""
    where = f" ({verdict.folder})" if verdict.folder else ""
    print_plain(f"{name} {TITLES[verdict.status]}{reason}{where}")
    if verdict.earlier:
        print_plain(f"{name}: the earlier export in {verdict.earlier} stays as it was; it is not of this attempt")
    if verdict.kept_float:
        print_plain(f"{name} keeps in float: {', '.join(verdict.kept_float)}")
    if verdict.note:
        print_plain(f"{name}: {verdict.note}")
