"""What is measured: models in eager torch and exported artefacts, with what their folders know of them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from densekd.errors import RecipeError, UserError
from densekd.export.engines import ENGINES
from densekd.export.engines.contract import Runnable
from densekd.export.latency.eager import EagerTorch, write_order
from densekd.export.latency.options import EAGER, BenchmarkOptions
from densekd.export.options import ExportOptions
from densekd.export.prepare import validation_files
from densekd.export.spec import GraphInput
from densekd.export.written import size_on_disk
from densekd.models import contract
from densekd.models.open import Opened, open_model
from densekd.parsers import load_json
from densekd.report.results import read_results
from densekd.run.evaluate import evaluation_of
from densekd.run.picture_size import default_size


@dataclass(frozen=True)
class Accuracy:
    """A score that a folder knows.

    Args:
        value: of the headline.
        metric: its title.
        unit: ``%``, ``m``, or empty.
    """

    value: float
    metric: str
    unit: str


@dataclass(frozen=True)
class Candidate:
    """One row of the table to come.

    Args:
        name: what people call it.
        engine: that runs it.
        folder: that the engine loads.
        input: the picture.
        bytes: on disk.
        parameters: None where they are not known.
        multiply_adds: for one picture; None where they are not known.
        accuracy: None where the folder knows none.
    """

    name: str
    engine: Runnable
    folder: Path
    input: GraphInput
    bytes: int
    parameters: int | None = None
    multiply_adds: int | None = None
    accuracy: Accuracy | None = None


def find_candidates(source: str, options: BenchmarkOptions, scratch: Path) -> list[Candidate]:
    """Return what a name on the command line stands for.

    Args:
        source: a run, a package, a checkpoint, an exported folder, or a folder of such.
        options: how it is measured.
        scratch: an empty folder for orders of processes.

    Raises:
        UserError: nothing of that name, nothing for the named engines, or no size.
    """
    path = Path(source)
    if (path / "model.json").is_file():
        return _wanted(source, [path], options)
    artefacts = _artefacts(path)
    if artefacts and not (path / "config.json").is_file():
        return _wanted(source, artefacts, options)
    found = []
    if not options.engines or EAGER in options.engines:
        found.append(_eager(source, options, scratch))
    if set(options.engines) - {EAGER}:
        # A run or package stands for its artefacts of these engines.
        found += _wanted(source, _artefacts(path / "export"), options)
    return found


def _artefacts(folder: Path) -> list[Path]:
    found = [path.parent for path in folder.glob("*/model.json")]
    return sorted(path for path in found if path.suffix != ".refused")


def _wanted(source: str, folders: list[Path], options: BenchmarkOptions) -> list[Candidate]:
    """Describe the artefacts of the engines that were asked for."""
    found = []
    for folder in folders:
        candidate = _exported(folder, options)
        if candidate is not None:
            found.append(candidate)
    if not found:
        names = ", ".join(options.engines)
        raise UserError(f"{source}: holds nothing exported to {names}; 'densekd export MODEL --to {names}' writes it.")
    return found


def _exported(folder: Path, options: BenchmarkOptions) -> Candidate | None:
    """Describe an artefact; None where its engine was not asked for.

    Raises:
        UserError: it cannot run here, or takes other pictures.
    """
    path = folder / "model.json"
    about = load_json(path, small=True)
    try:
        name, verdict = about["engine"]["name"], about["verdict"]
        taken = _input(about["input"])
        score, size = verdict["engine_score"], int(verdict["bytes"])
        accuracy = None if score is None else Accuracy(float(score), str(verdict["metric"]), str(verdict["unit"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: is not what 'densekd export' writes ({error!r}); export the model again.") from error
    if options.engines and name not in options.engines:
        return None
    engine = ENGINES.get(name)
    if engine is None:
        raise UserError(f"{path}: names the engine '{name}', which this version does not know.")
    lacking = engine.missing()
    if lacking is not None:
        raise UserError(f"{folder}: {engine.title} is not installed; it needs {lacking}.")
    reason = engine.not_runnable()
    if reason is not None:
        raise UserError(f"{folder}: cannot run on this system: {reason}.")
    _require_input(folder, taken, options)
    taken = GraphInput(taken.size, options.batch, taken.kind, taken.bands)
    return Candidate(str(folder), engine, folder, taken, size, accuracy=accuracy)


def _input(about: dict[str, Any]) -> GraphInput:
    height, width = about["size"]
    kind = "uint8" if about["dtype"] == "uint8" else "float"
    shape = about["shape"]
    bands = shape[3] if kind == "uint8" else shape[1]
    return GraphInput((int(height), int(width)), shape[0], kind, int(bands))  # type: ignore[arg-type]


def _require_input(folder: Path, taken: GraphInput, options: BenchmarkOptions) -> None:
    height, width = taken.size
    if options.size is not None and options.size != taken.size:
        raise RecipeError(f"--size: {folder} was exported for {height}x{width}; export it again for another size.")
    if taken.batch not in ("dynamic", options.batch):
        raise RecipeError(f"--batch: {folder} was exported for batch {taken.batch}; name that, or export it again.")


def _eager(source: str, options: BenchmarkOptions, scratch: Path) -> Candidate:
    """Describe a model in eager torch; it is opened here to be counted."""
    opened = open_model(source)
    size = options.size or _own_size(opened, source)
    multiply_adds = count_multiply_adds(opened.model, size, source)
    scratch.mkdir(parents=True)
    write_order(scratch, source, options.trust)
    parameters = sum(parameter.numel() for parameter in opened.model.parameters())
    taken = GraphInput(size, options.batch, "float", contract.bands(opened.model))
    path = Path(source)
    accuracy = _accuracy(path)
    return Candidate(source, EagerTorch(), scratch, taken, _bytes(path), parameters, multiply_adds, accuracy)


def _own_size(opened: Opened, source: str) -> tuple[int, int]:
    """Return the size that a model is evaluated at.

    Raises:
        UserError: nothing knows one.
    """
    path = Path(source)
    evaluation = evaluation_of(path, ()).options
    files, resize, _ = validation_files(opened, path, ExportOptions())
    if files is None and resize is None and evaluation.get("crop") is None:
        raise UserError(f"{source}: nothing here says which size it is used at; name one: --size HEIGHTxWIDTH.")
    return default_size(opened.config.task, evaluation, resize, files)


def count_multiply_adds(model: torch.nn.Module, size: tuple[int, int], name: str) -> int:
    """Return the multiply-adds of one picture.

    Raises:
        RecipeError: a size that the model cannot take.
    """
    images = torch.rand(1, contract.bands(model), *size)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(images)
    except Exception as error:  # networks raise anything at a size that does not fit
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        multiple = [math.ceil(side / 32) * 32 for side in size]
        tried = f"{size[0]}x{size[1]}"
        message = f"--size: {name} cannot take {tried} ({reason}); try {multiple[0]}x{multiple[1]} or a larger one."
        raise RecipeError(message) from error
    # The counter counts a multiplication and an addition as two.
    return int(counter.get_total_flops() // 2)


def _bytes(path: Path) -> int:
    """Return the bytes of a model's file, or of a run's student; 0 where it lies elsewhere."""
    if path.is_file():
        return path.stat().st_size
    package = path / "student" if (path / "student").is_dir() else path
    return size_on_disk(package) if (package / "config.json").is_file() else 0


def _accuracy(path: Path) -> Accuracy | None:
    """Read the score of a run, or of its student or baseline."""
    for folder, role in ((path, "student"), (path.parent, path.name)):
        results = folder / "results.json"
        if not results.is_file() or role not in ("student", "baseline"):
            continue
        read = read_results(results)
        scores = read.student if role == "student" else read.baseline
        if scores is not None:
            headline = read.names.headline
            return Accuracy(scores.score, headline.title, headline.unit)
    return None
