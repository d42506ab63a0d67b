"""Learning curves of a run: not finite, diverged, nothing learnt, a schedule that ends too early."""

import math
from collections.abc import Sequence
from statistics import median

from densekd.doctor.case import Case
from densekd.doctor.finding import Finding

# Records below which a curve says nothing.
_FEWEST = 8
# Medians of the last against the first or the best quarter of the losses.
_DIVERGED = 1.5
_STILL = 0.97
# A gain between the last two validations, in points of the score, that is called rising.
_RISING = 1.0
# Share of a loss's fall in its last quarter that is called falling, unless most of the loss is gone.
_FALLING, _LEARNT = 0.25, 0.3


def examine_curve(case: Case) -> list[Finding]:
    """Judge the losses and validation scores that a run recorded."""
    losses = [row["loss"] for row in case.rows if "loss" in row]
    key = f"val/{case.built.task.metrics.headline.key}"
    scores = [row[key] for row in case.rows if key in row and math.isfinite(row[key])]
    found = _judge_losses(losses)
    # A student that was trained before may have little left to learn.
    if case.recipe.student.checkpoint is not None:
        found = [one for one in found if one.name != "loss-does-not-fall"]
    if len(scores) < 3 and not found:
        return _still_falling(losses)
    return found + _judge_scores(scores)


def _judge_losses(losses: Sequence[float]) -> list[Finding]:
    wrong = [k for k, loss in enumerate(losses) if not math.isfinite(loss)]
    if wrong:
        evidence = f"{len(wrong)} of {len(losses)} recorded losses are not finite, the first is record {wrong[0] + 1}"
        fix = "lower optimizer.lr, set training.clip, or use training.precision: 32"
        return [Finding("loss-not-finite", "error", evidence, fix, {"records": len(wrong)})]
    if len(losses) < _FEWEST:
        return []
    # Medians of quarters: single batches differ by more than a training gains.
    length = len(losses) // 4
    quarters = [median(losses[k * length : (k + 1) * length]) for k in range(3)]
    last = median(losses[-length:])
    first, lowest = quarters[0], min(quarters)
    numbers = {"first": first, "lowest": lowest, "last": last}
    if last > _DIVERGED * lowest > 0:
        evidence = f"the loss rose from {lowest:.4g} to {last:.4g} (medians of a quarter of the records)"
        return [Finding("loss-diverges", "error", evidence, "lower optimizer.lr by a factor of 3 to 10", numbers)]
    if last > _STILL * first > 0:
        evidence = f"the loss went from {first:.4g} to {last:.4g} (medians of the first and last quarter)"
        fix = "raise optimizer.lr by a factor of 3 to 10, or look at labels and student.freeze"
        return [Finding("loss-does-not-fall", "warning", evidence, fix, numbers)]
    return []


def _still_falling(losses: Sequence[float]) -> list[Finding]:
    """Judge a schedule by its losses, where there are too few validations to judge by."""
    if len(losses) < 2 * _FEWEST:
        return []
    length = len(losses) // 4
    first, _, third, last = (median(losses[k * length : (k + 1) * length]) for k in range(4))
    # A straight line has a third of its fall between the last two quarters, a curve that has arrived nearly nothing.
    share = (third - last) / (first - last) if first > last else 0.0
    if share < _FALLING or last < _LEARNT * first:
        return []
    evidence = f"{100 * share:.0f} % of the loss's fall was in the last quarter ({third:.4g} to {last:.4g})"
    numbers = {"share": share, "third": third, "last": last}
    return [Finding("schedule-too-short", "warning", evidence, "raise training.steps", numbers)]


def _judge_scores(scores: Sequence[float]) -> list[Finding]:
    if len(scores) < 3:
        return []
    before, last = scores[-2] - scores[-3], scores[-1] - scores[-2]
    if last < _RISING or before <= 0:
        return []
    # Gains that shrink by a constant ratio add up to a geometric series; at most nine more of the last.
    ratio = min(last / before, 0.9)
    # Where they shrink fast, what is left is less than was just gained.
    if ratio < 0.5:
        return []
    more = last * ratio / (1 - ratio)
    evidence = f"the score still rose by {last:.1f} at the last validation ({before:.1f} before it)"
    fix = f"raise training.steps; if gains go on to shrink alike, about {more:.1f} points are left"
    return [Finding("schedule-too-short", "warning", evidence, fix, {"gain": last, "extrapolated": more})]
