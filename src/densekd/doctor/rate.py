"""Learning rate: a probe of a few steps on two batches, whose loss must fall and not rise."""

import math
import time
from copy import deepcopy
from statistics import median

import torch
from torch import Tensor, nn

from densekd.distill.optimizers import OptimizerConfig, make_optimizer
from densekd.doctor.case import Case
from densekd.doctor.finding import Finding
from densekd.doctor.terms import heaviest_step

# Steps of the probe, and seconds beyond which it is not worth it.
_STEPS, _SECONDS = 16, 120.0
# A loss that rose by this factor on the same images, at the end or on the way, does not fall on others.
_ROSE, _LEAPT = 1.5, 5.0
# A tenth of the rate that ends so much lower on the same images is the better one.
_TENTH, _BETTER = 0.1, 1.5
# What the whole schedule would change at most, by the probe: of the loss, and of the weights.
_FALL, _MOVE = 0.1, 0.02


def examine_rate(case: Case) -> list[Finding]:
    """Take a few optimizer steps at the recipe's learning rate; the models are changed."""
    settings = case.built.distiller.optimizer
    if not isinstance(settings, OptimizerConfig):
        return []
    student = case.built.distiller.student
    weights = [one for one in student.parameters() if one.requires_grad and one.dim() > 1]
    before = [one.detach().clone() for one in weights]
    start = deepcopy(case.built.distiller.state_dict())
    losses = _probe(case, settings, 1.0)
    if not losses:
        return []
    moved = _moved(before, weights)
    key = f"at optimizer.lr {settings.lr:g}"
    first, last = losses[0], median(losses[-4:])
    numbers = {"first": first, "last": last}
    finite = all(map(math.isfinite, losses))
    if not finite or last > _ROSE * first > 0 or max(losses) > _LEAPT * first > 0:
        evidence = f"{key} the loss on two batches went from {first:.4g} to {max(losses):.4g} in {len(losses)} steps"
        return [Finding("learning-rate-too-high", "error", evidence, "lower optimizer.lr by a factor of 10", numbers)]
    # The same steps at a tenth of the rate, from the same weights; a student that was trained before hardly moves.
    case.built.distiller.load_state_dict(start)
    slow = _probe(case, settings, _TENTH) if case.recipe.student.checkpoint is None else []
    if slow and last > _BETTER * median(slow[-4:]) > 0:
        lower = median(slow[-4:])
        evidence = f"{key} the loss on two batches fell to {last:.4g} in {len(losses)} steps, at a tenth to {lower:.4g}"
        fix = "lower optimizer.lr by a factor of 3 to 10, or warm it up (optimizer.warmup)"
        return [Finding("learning-rate-too-high", "warning", evidence, fix, {**numbers, "tenth": lower})]
    # A straight line to the end of the schedule: more than a training can do.
    factor = max(1.0, case.recipe.training.length / (settings.power + 1) / len(losses))
    move, fall = factor * moved, factor * (first - last) / max(first, 1e-12)
    if move < _MOVE and fall < _FALL:
        evidence = f"{key} the whole schedule moves the weights by at most {100 * move:.2g} % of their norm"
        numbers = {"move": move, "fall": fall}
        return [Finding("learning-rate-too-low", "error", evidence, "raise optimizer.lr by a factor of 10", numbers)]
    return []


def _probe(case: Case, settings: OptimizerConfig, scale: float) -> list[float]:
    """Return the losses of a few steps on two batches in turns, at ``scale`` times the rate; none if slow."""
    distiller = case.built.distiller
    distiller.student.train()
    torch.manual_seed(case.recipe.training.seed)
    optimizer = make_optimizer(distiller.student, distiller.terms, settings)
    rates = [group["lr"] for group in optimizer.param_groups]
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    batches = [case.batch(k) for k in range(2)]
    weighted_at = heaviest_step(case)
    losses: list[float] = []
    started = time.perf_counter()
    for k in range(_STEPS):
        # A recipe that warms up is probed with a warm-up, too.
        share = min(1.0, 2 * (k + 1) / _STEPS) if settings.warmup else 1.0
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = scale * share * rate
        loss = torch.stack(list(distiller.losses(batches[k % 2], weighted_at).values())).sum()
        losses.append(float(loss.detach()))
        # A learning rate that ends in infinity has shown enough.
        if not math.isfinite(losses[-1]) or not loss.requires_grad:
            break
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if case.recipe.training.clip:
            nn.utils.clip_grad_norm_(parameters, case.recipe.training.clip)
        optimizer.step()
        if (time.perf_counter() - started) / (k + 1) * _STEPS > _SECONDS:
            return []
    return losses


def _moved(before: list[Tensor], after: list[nn.Parameter]) -> float:
    """Return the distance between two sets of weights relative to the norm of the first."""
    if not before:
        return math.inf
    distance = sum(float((one - other.detach()).square().sum()) for one, other in zip(before, after, strict=True))
    norm = sum(float(one.square().sum()) for one in before)
    return math.sqrt(distance / max(norm, 1e-12))
