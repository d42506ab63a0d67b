"""Verify an artefact: load it in its engine, compare its numbers with torch's, score it; or refuse it."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from densekd.errors import UserError
from densekd.export.compare import Difference, compare_arrays, compare_labels, compare_maps, compare_sets
from densekd.export.engines.contract import Engine
from densekd.export.process import EngineFailed, EngineProcess
from densekd.export.runner import Run, run_in_torch
from densekd.export.spec import Precision
from densekd.export.subject import Subject
from densekd.export.verdict import Verdict
from densekd.hardware import cpu_saturates
from densekd.metric_names import MetricName
from densekd.ops.interpolation import resize
from densekd.tasks.protocol import Scores

# Float32: largest difference relative to the largest output, and points of the score.
EXACT = 1e-4
EXACT_SCORE = 0.05
# Points that half and integer arithmetic may cost unless ``--allow`` says otherwise.
ALLOWED_DROP = 0.5
# Largest relative difference of half precision where nothing can be scored: above, something is wrong.
_HALF_UNSCORED = 0.1
# The same for int8, whose difference is that of single values.
_INT8_UNSCORED = 0.5
_SATURATED = (
    "This processor has no VNNI: ONNX Runtime cuts sums of 8-bit products off at 16 bits. If the device has it, export "
    "on a machine that has it, too; else take another engine or fp32."
)
_PICTURES = 4


class _Case(NamedTuple):
    """One input with what torch makes of it; ``logits`` of labels alone."""

    array: np.ndarray
    wanted: list[np.ndarray]
    logits: np.ndarray | None


@dataclass(frozen=True)
class Limits:
    """What is still accepted.

    Args:
        allow: points of the score that precisions below float32 may cost.
        exact: whether int8 was trained and has to be the same numbers as in torch.
    """

    allow: float = ALLOWED_DROP
    exact: bool = False


class Reference:
    """Torch's numbers and scores of a subject, computed once for all engines.

    Args:
        subject: what is exported.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @cached_property
    def cases(self) -> list[_Case]:
        """Inputs of noise and validation pictures, and torch's outputs.

        Raises:
            UserError: torch's own numbers are not finite.
        """
        taken = self.subject.input
        batches = [1, 3] if taken.batch == "dynamic" else [taken.batch_size] * 2
        inputs = [taken.random(batch, seed) for seed, batch in enumerate(batches, 1)]
        if self.subject.files is not None:
            pictures = taken.of_pictures(self.subject.pictures(_PICTURES))
            # Whole batches alone; where pictures are too few they repeat.
            size = 1 if taken.batch == "dynamic" else taken.batch_size
            places = torch.arange(max(size, len(pictures) // size * size)) % len(pictures)
            inputs += list(torch.split(pictures[places], size))
        return [self._case(one) for one in inputs]

    @cached_property
    def scores(self) -> Scores:
        """Torch's scores at the exported size."""
        return self.subject.scores(run_in_torch(self.subject.module))

    @torch.no_grad()
    def _case(self, image: torch.Tensor) -> _Case:
        module = self.subject.module
        wanted = [output.numpy() for output in module(image)]
        if not all(np.isfinite(array).all() for array in wanted):
            raise UserError("the model itself returns values that are not finite, in torch; it cannot be exported.")
        logits = None
        if self.subject.kind == "labels":
            finish: Any = module.finish
            floats = image if self.subject.input.kind == "float" else image.permute(0, 3, 1, 2).float() / 255
            logits = resize(module.predicted(floats), finish.size, finish.align_corners).numpy()
        return _Case(image.numpy(), wanted, logits)


def verify(engine: Engine, folder: Path, precision: Precision, reference: Reference, limits: Limits) -> Verdict:
    """Load an artefact in its engine, in a process of its own, and judge it.

    Args:
        engine: whose artefact it is.
        folder: where it lies.
        precision: of the artefact.
        reference: torch's numbers.
        limits: what is still accepted.
    """
    verdict = Verdict(engine.name, precision, "refused", version=engine.version())
    why_not = engine.not_runnable()
    if why_not is not None:
        return replace(verdict, status="converted", reason=why_not)
    try:
        with EngineProcess(engine, folder) as process:
            return _judged(process.run, verdict, reference, limits)
    except EngineFailed as error:
        return replace(verdict, reason=str(error))


def _judged(run: Run, verdict: Verdict, reference: Reference, limits: Limits) -> Verdict:
    """Compare, then score; what fails first is the reason."""
    difference = _difference(run, reference)
    verdict = replace(verdict, difference=difference.largest, equal_labels=difference.equal_labels)
    reason = _too_different(verdict, limits, scored=reference.subject.files is not None)
    if reason:
        return replace(verdict, reason=reason)
    if reference.subject.files is None:
        return replace(verdict, status="compared", reason=reference.subject.unscored)
    verdict = _with_scores(verdict, reference, reference.subject.scores(run))
    reason = _too_bad(verdict, limits)
    return replace(verdict, status="refused" if reason else "verified", reason=reason)


def _difference(run: Run, reference: Reference) -> Difference:
    """Return the worst difference over all inputs."""
    kind = reference.subject.kind
    worst = Difference(0.0)
    for array, wanted, logits in reference.cases:
        found = run(array)
        if kind in ("logits", "scores") and len(found) == 1:
            one = compare_maps(found[0], wanted[0])
        elif kind == "labels" and len(found) == 1:
            assert logits is not None
            one = compare_labels(found[0], wanted[0], logits)
        elif reference.subject.is_set:
            one = compare_sets(found, wanted)
        else:
            one = compare_arrays(found, wanted)
        worst = worst.worst(one)
    return worst


def _too_different(verdict: Verdict, limits: Limits, scored: bool) -> str:
    """Say why the numbers alone are a refusal; empty where they are none."""
    assert verdict.difference is not None
    if not np.isfinite(verdict.difference):
        return "its outputs are not finite, or not of the shapes that torch returns."
    limit = EXACT if verdict.precision == "fp32" or limits.exact else np.inf
    if verdict.precision == "fp16" and not scored:
        limit = _HALF_UNSCORED
    if verdict.precision == "int8" and not scored:
        limit = min(limit, _INT8_UNSCORED)
    if verdict.difference > limit:
        said = f"its outputs differ from torch's by {verdict.difference:.1e} of the largest; at most {limit:.0e}."
        saturated = verdict.engine == "onnx" and verdict.precision == "int8" and cpu_saturates()
        return f"{said} {_SATURATED}" if saturated else said
    return ""


def _too_bad(verdict: Verdict, limits: Limits) -> str:
    """Say why the score is a refusal; empty where it is none."""
    if verdict.drop is None:
        return ""
    # Ratios are points as well: 0.01 is one.
    points = verdict.drop if verdict.unit == "%" else 100 * verdict.drop
    values = f"{verdict.metric} {_shown(verdict.torch_score)} in torch, {_shown(verdict.engine_score)} in the engine"
    if verdict.precision == "fp32":
        if abs(points) > EXACT_SCORE:
            return f"{values}: {abs(points):.2f} points apart; float32 may differ by {EXACT_SCORE}."
        return ""
    if points > limits.allow:
        return f"{values}: it costs {points:.2f} points; --allow {limits.allow:g} is the limit."
    return ""


def _with_scores(verdict: Verdict, reference: Reference, scores: Scores) -> Verdict:
    """Add scores and drops, whole and by class."""
    metrics = reference.subject.task.metrics
    headline = metrics.headline
    ours, theirs = reference.scores[headline.key], scores[headline.key]
    assert reference.subject.files is not None
    drops: dict[str, float] = {}
    if metrics.by_class is not None:
        by_class = reference.scores.get(metrics.by_class.key, {})
        for name, value in by_class.items():
            drop = _drop(metrics.by_class, value, scores[metrics.by_class.key][name])
            if drop is not None:
                drops[name] = drop
    return replace(
        verdict,
        metric=headline.title,
        unit=headline.unit,
        torch_score=ours,
        engine_score=theirs,
        drop=_drop(headline, ours, theirs),
        drops=drops,
        images=len(reference.subject.files),
    )


def _drop(metric: MetricName, torch_score: float | None, engine_score: float | None) -> float | None:
    """Return by how much the engine is worse; None where there is nothing to score."""
    if torch_score is None and engine_score is None:
        return None
    # A class that one of both cannot be scored on counts as nothing found.
    return metric.gain(torch_score or 0.0, engine_score or 0.0)


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
