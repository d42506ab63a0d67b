"""Export a model to inference engines: convert, verify in a process of its own, write or refuse."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from densekd.errors import RecipeError
from densekd.export.attempts import searched, told
from densekd.export.engines.contract import Conversion, ConversionRefused, Engine
from densekd.export.options import CALIBRATE, ExportOptions, parse_size, wanted, words
from densekd.export.prepare import prepare
from densekd.export.sources import Source, prepare_sources
from densekd.export.spec import InputKind, Precision
from densekd.export.subject import Subject
from densekd.export.verdict import Verdict
from densekd.export.verify import ALLOWED_DROP, Limits, verify
from densekd.export.written import describe, move_over, require_own, size_on_disk, temporary_folder, write_description
from densekd.exported import refresh_card
from densekd.models.open import Opened, open_model
from densekd.report import write_report
from densekd.trust import trusting

# Told after every artefact.
Tell = Callable[[Verdict], None]


def export(
    model: str | Path,
    to: str | Sequence[str] = ("onnx",),
    *,
    precision: str | Sequence[str] = ("fp32",),
    size: tuple[int, int] | str | None = None,
    batch: int | Literal["dynamic"] = 1,
    output: str | None = None,
    input: InputKind = "float",
    data: str | Path | None = None,
    allow: float = ALLOWED_DROP,
    calibrate: int = CALIBRATE,
    keep_float: str | Sequence[str] | None = None,
    keep: bool = False,
    out: str | Path | None = None,
    trust: Sequence[str] = (),
) -> list[Verdict]:
    """Export a model to engines and verify every artefact there.

    Args:
        model: whatever :func:`densekd.load` opens.
        to: names of engines, see ``densekd.export.engines.ENGINES``.
        precision: ``fp32``, ``fp16``, ``int8``.
        size: height and width of the input; None: what the recipe evaluates at.
        batch: pictures at once, or ``dynamic``.
        output: segmentation: ``logits``, ``scores``, ``labels``; detection: ``boxes``, ``raw``.
        input: ``float``: RGB in [0, 1], ``[B, 3, H, W]``; ``uint8``: the picture, ``[B, H, W, 3]``.
        data: data folder or recipe to verify on; None: the data of the model's own run.
        allow: points of the score that precisions below float32 may cost.
        calibrate: training pictures that int8 measures its ranges on.
        keep_float: layers that int8 leaves in float: names, patterns, ``last``; ``auto``: also those
            that cost most; None: ``last``, and ``auto`` where that is refused.
        keep: keep what was refused, as ``*.refused``.
        out: folder; None: ``export`` in the run or beside the model.
        trust: modules that a package, and the recipe of a run, may name; see :func:`densekd.load`.

    Returns:
        a verdict for each engine and precision; what is refused is not written.

    Raises:
        densekd.errors.UserError: no such model, engine or data, or a size that does not fit.
    """
    parsed = parse_size(size) if isinstance(size, str) else size
    places = (None if data is None else Path(data), None if out is None else Path(out))
    left = None if keep_float is None else tuple(words(keep_float))
    options = ExportOptions(parsed, batch, output, input, places[0], allow, calibrate, left, keep, places[1])
    with trusting(trust):
        return export_opened(open_model(model), Path(model), to, precision, options)


def export_opened(
    opened: Opened,
    name: Path,
    to: str | Sequence[str],
    precision: str | Sequence[str],
    options: ExportOptions,
    tell: Tell | None = None,
) -> list[Verdict]:
    """Export an opened model; see :func:`export`.

    Args:
        opened: the model.
        name: where it was opened.
        to, precision: names.
        options: how.
        tell: called with each verdict as soon as it is known.
    """
    pairs = wanted(words(to), words(precision))
    out = options.out or default_folder(name)
    _require_writable(out)
    for engine, chosen in pairs:
        for place in _places(out, engine, chosen):
            require_own(place)
    subject = prepare(opened, name, options)
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="densekd-export-") as scratch:
        sources = prepare_sources(subject, [chosen for _, chosen in pairs], options, Path(scratch))
        for engine, chosen in pairs:
            verdict = _one(engine, chosen, sources[chosen], out, options)
            verdicts.append(verdict)
            if tell is not None:
                tell(verdict)
    if out.name == "export" and (out.parent / "report.html").is_file():
        # The run's report shows what there is.
        write_report(out.parent)
    if out.name == "export":
        refresh_card(out.parent)
    return verdicts


def default_folder(name: Path) -> Path:
    """Return ``export`` in the run that a model belongs to, beside a file, or in the current folder."""
    for folder in (name, name.parent, name.parent.parent):
        if (folder / "recipe.yaml").is_file():
            return folder / "export"
    if name.is_dir():
        return name / "export"
    return name.parent / "export" if name.is_file() else Path("export")


def _places(out: Path, engine: Engine, precision: Precision) -> tuple[Path, Path]:
    """Return the folders of an artefact that is verified, and of one that is refused and kept."""
    name = f"{engine.name}-{precision}"
    return out / name, out / f"{name}.refused"


def _one(engine: Engine, precision: Precision, source: Source, out: Path, options: ExportOptions) -> Verdict:
    """Convert, verify and write one artefact, or refuse it; int8 that costs too much is tried once more."""
    final, _ = _places(out, engine, precision)
    verdict = _attempt(engine, precision, source, out, options, None)
    graph = searched(source.graph, verdict, options)
    if graph is not None:
        verdict = _attempt(engine, precision, replace(source, graph=graph), out, options, verdict)
    if not verdict.passed and final.is_dir():
        verdict = replace(verdict, earlier=str(final))
    return verdict


def _attempt(
    engine: Engine, precision: Precision, source: Source, out: Path, options: ExportOptions, before: Verdict | None
) -> Verdict:
    """Convert, verify and write one artefact, or refuse it.

    Args:
        engine, precision, source, out, options: as of :func:`_one`.
        before: verdict on an attempt before this one.
    """
    final, refused = _places(out, engine, precision)
    with temporary_folder(final) as temporary:
        try:
            conversion = engine.convert(source.graph, temporary, precision)
        except ConversionRefused as error:
            return told(Verdict(engine.name, precision, "refused", str(error), version=engine.version()), before)
        limits = Limits(options.allow, exact=source.is_exact(engine.name))
        verdict = verify(engine, temporary, precision, source.reference, limits)
        verdict = replace(
            verdict,
            exporter=conversion.exporter,
            exporter_reason=source.graph.reason,
            quantizer=conversion.quantizer,
            calibrated=source.calibrated if conversion.quantizer else 0,
            kept_float=conversion.kept_float,
            note=conversion.note or source.note,
            bytes=size_on_disk(temporary),
        )
        verdict = told(verdict, before)
        if verdict.passed or options.keep:
            place = final if verdict.passed else refused
            return _kept(temporary, place, verdict, conversion, engine, source.reference.subject)
    return verdict


def _kept(
    temporary: Path, place: Path, verdict: Verdict, conversion: Conversion, engine: Engine, subject: Subject
) -> Verdict:
    """Describe an artefact and put it where it belongs."""
    verdict = replace(verdict, folder=str(place))
    write_description(temporary, describe(subject, engine, conversion, verdict), engine)
    move_over(temporary, place)
    if verdict.passed:
        # What was refused before is out of date.
        shutil.rmtree(place.with_name(f"{place.name}.refused"), ignore_errors=True)
    return verdict


def _require_writable(out: Path) -> None:
    """Make the folder, so that nothing is computed in vain.

    Raises:
        RecipeError: it is a file, or cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise RecipeError(f"--out {out}: cannot be written to: {error.strerror or error}.") from error
