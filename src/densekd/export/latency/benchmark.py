"""Measure latency: each model in a process of its own, all of them in interleaved rounds."""

import math
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densekd.errors import RecipeError
from densekd.export.latency.candidate import Candidate, find_candidates
from densekd.export.latency.options import SECONDS, BenchmarkOptions
from densekd.export.options import parse_size, words
from densekd.export.process import EngineProcess
from densekd.trust import trusting

# Rounds in which every model takes its turn: a slow minute of the machine hits all of them.
_ROUNDS = 5
# Runs before the first round, and before each other one, after the processor did something else.
_WARMUP, _WARMUP_AGAIN = 3, 1


@dataclass(frozen=True)
class BenchmarkRow:
    """What was measured of one model.

    Args:
        model: name.
        engine: title.
        size: height and width of the picture.
        batch: pictures at once.
        threads: of the engine; 0: its own choice.
        runs: that were measured.
        median_ms, p95_ms: latency of a run, in milliseconds: median and 95th percentile.
        images_per_second: at the median.
        bytes: on disk; None where the model lies elsewhere.
        peak_bytes: the most memory that its process held; None where the system does not say.
        parameters, multiply_adds: of the model, the latter for one picture; None where not known.
        score: that its folder knows; None where it knows none.
        metric, unit: of the score.
    """

    model: str
    engine: str
    size: tuple[int, int]
    batch: int
    threads: int
    runs: int
    median_ms: float
    p95_ms: float
    images_per_second: float
    bytes: int | None
    peak_bytes: int | None
    parameters: int | None
    multiply_adds: int | None
    score: float | None
    metric: str
    unit: str

    def to_json(self) -> dict[str, Any]:
        """Return the row as files hold it."""
        return asdict(self)


def benchmark(
    models: str | Path | Sequence[str | Path],
    *,
    engine: str | Sequence[str] = (),
    size: tuple[int, int] | str | None = None,
    threads: int = 0,
    batch: int = 1,
    runs: int | None = None,
    seconds: float = SECONDS,
    trust: Sequence[str] = (),
) -> list[BenchmarkRow]:
    """Measure latency, memory and size of models and exported artefacts, in interleaved rounds.

    Args:
        models: runs, packages, checkpoints (in eager torch), exported folders, or folders of such.
        engine: names of ``densekd.export.engines.ENGINES``, or ``eager``; of a run, its artefacts.
        size: height and width; None: what the recipe evaluates at, or the artefact's own.
        threads: of the engine; 0: its own choice.
        batch: pictures at once.
        runs: that are measured of each model; None: about ``seconds`` long.
        seconds: for each model.
        trust: modules that a package may name; see :func:`densekd.load`.

    Returns:
        a row for each model, in their order.

    Raises:
        densekd.errors.UserError: an unknown model or engine, one that cannot run here, or a wrong size.
    """
    parsed = parse_size(size) if isinstance(size, str) else size
    options = BenchmarkOptions(tuple(words(engine)), parsed, threads, batch, runs, seconds, trust)
    named = [models] if isinstance(models, str | Path) else list(models)
    with trusting(trust):
        return benchmark_named([str(model) for model in named], options)


def benchmark_named(names: Sequence[str], options: BenchmarkOptions) -> list[BenchmarkRow]:
    """Measure models by their names; see :func:`benchmark`."""
    if not names:
        raise RecipeError("benchmark: name at least one model or exported folder.")
    with tempfile.TemporaryDirectory(prefix="densekd-benchmark-") as scratch:
        candidates: list[Candidate] = []
        for index, name in enumerate(names):
            candidates += find_candidates(name, options, Path(scratch) / str(index))
        return _measure(candidates, options)


def _measure(candidates: Sequence[Candidate], options: BenchmarkOptions) -> list[BenchmarkRow]:
    """Start all processes, then let them take turns."""
    seconds: list[list[float]] = [[] for _ in candidates]
    peaks = [0] * len(candidates)
    with ExitStack() as stack:
        processes = []
        for candidate in candidates:
            process = EngineProcess(candidate.engine, candidate.folder, options.threads)
            processes.append(stack.enter_context(process))
        arrays = [candidate.input.random(options.batch, seed=0).numpy() for candidate in candidates]
        # Warm-up, and a first look at how many runs fit.
        plans = []
        for process, array in zip(processes, arrays, strict=True):
            plans.append(_plan(process, array, options))
        for turn in range(_ROUNDS):
            for index, process in enumerate(processes):
                runs = plans[index][turn]
                if not runs:
                    continue
                timing = process.time(arrays[index], runs, _WARMUP_AGAIN)
                seconds[index] += timing.seconds
                peaks[index] = max(peaks[index], timing.peak_bytes)
    rows = []
    for candidate, measured, peak in zip(candidates, seconds, peaks, strict=True):
        rows.append(_row(candidate, measured, peak, options))
    return rows


def _plan(process: EngineProcess, array: np.ndarray, options: BenchmarkOptions) -> list[int]:
    """Return the runs of each round."""
    once = statistics.median(process.time(array, 1, _WARMUP).seconds)
    runs = options.runs
    if runs is None:
        # At least one run a round, so that no model is measured in one moment alone.
        runs = max(_ROUNDS, math.ceil(options.seconds / max(once, 1e-6)))
    each, left = divmod(runs, _ROUNDS)
    return [each + (turn < left) for turn in range(_ROUNDS)]


def _row(candidate: Candidate, seconds: Sequence[float], peak: int, options: BenchmarkOptions) -> BenchmarkRow:
    median = float(np.median(seconds))
    accuracy = candidate.accuracy
    return BenchmarkRow(
        model=candidate.name,
        engine=candidate.engine.title,
        size=candidate.input.size,
        batch=options.batch,
        threads=options.threads,
        runs=len(seconds),
        median_ms=1000 * median,
        p95_ms=1000 * float(np.percentile(seconds, 95)),
        images_per_second=options.batch / median,
        bytes=candidate.bytes or None,
        peak_bytes=peak or None,
        parameters=candidate.parameters,
        multiply_adds=candidate.multiply_adds,
        score=None if accuracy is None else accuracy.value,
        metric="" if accuracy is None else accuracy.metric,
        unit="" if accuracy is None else accuracy.unit,
    )
