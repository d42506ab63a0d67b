"""Terms on a few batches: taps that see nothing, gradients beside the task's, softness of the teacher."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densekd.distill.terms import Term, paths
from densekd.doctor.case import Case
from densekd.doctor.finding import Finding
from densekd.losses import LOSSES
from densekd.tasks import NoTask

_BATCHES = 2
# Channels that are constant over positions and images, of a map.
_DEAD = 0.9
# Norm of a term's gradient relative to the task's.
_LOUD, _QUIET = 100.0, 1e-3
# Entropy of the softened teacher relative to a uniform distribution's.
_FLAT = 0.995
# Effective number of classes, or of positions, of a teacher that was sharpened.
_ONE_HOT, _FEW_PLACES = 1.01, 2.0
# Cosine of the two gradients below which a term undoes what the task does, where it is not small beside it.
_AGAINST, _HEARD = -0.3, 0.1


def examine_terms(case: Case) -> list[Finding]:
    """Run student and teacher on a few batches, and judge each term."""
    distiller = case.built.distiller
    terms = {name: term for name, term in distiller.terms.items() if isinstance(term, Term)}
    if not terms or distiller.teacher is None:
        return []
    batches = [case.batch(k) for k in range(_BATCHES)]
    with torch.no_grad():
        seen = [distiller.teacher(distiller.task.images(batch)) for batch in batches]
    found: list[Finding] = []
    for name, term in terms.items():
        features = {path: torch.cat([one[path] for one in seen]) for path in paths(term.taps.teacher)}
        found += _judge_maps(name, features)
        found += _judge_temperature(name, term.loss, list(features.values()))
    # Gradients of maps that are not finite say nothing.
    if any(one.severity == "error" for one in found):
        return found
    return found + _judge_gradients(case, batches)


def _judge_maps(name: str, features: Mapping[str, Tensor]) -> list[Finding]:
    """Remark on a teacher's maps that are not finite or hardly depend on image and position."""
    found: list[Finding] = []
    for path, feature in features.items():
        key = f"distill '{name}': the teacher's {path}"
        if not bool(feature.isfinite().all()):
            share = float((~feature.isfinite()).float().mean())
            fix = "use teacher.precision: 32, or another checkpoint"
            evidence = f"{key} is not finite in {100 * share:.1f} % of its values"
            found.append(Finding("tap-not-finite", "error", evidence, fix, {"share": share}))
            continue
        if feature.dim() != 4:
            continue
        # Deviation of each channel over images and positions, beside that of the largest.
        deviations = feature.float().transpose(0, 1).flatten(1).std(1)
        dead = float((deviations <= 1e-6 * (1 + float(deviations.max()))).float().mean())
        if dead >= _DEAD:
            evidence = f"{key} is constant in {100 * dead:.0f} % of its {len(deviations)} channels"
            fix = "tap another layer (distill.teacher), or look at the checkpoint"
            found.append(Finding("tap-constant", "error", evidence, fix, {"share": dead}))
    return found


def _judge_temperature(name: str, loss: nn.Module, maps: Sequence[Tensor]) -> list[Finding]:
    """Remark on class probabilities or spatial distributions that a temperature makes flat or one-hot."""
    temperature = getattr(loss, "temperature", None)
    if not isinstance(temperature, int | float):
        return []
    found: list[Finding] = []
    for feature in maps:
        if feature.dim() != 4 or type(loss) not in (LOSSES["pixel"], LOSSES["cwd"]):
            continue
        # CWD's distributions are those of a channel over positions, others' those of a position over classes.
        over_positions = getattr(loss, "normalize", None) == "channel"
        logits = feature.float().flatten(2) if over_positions else feature.float().flatten(2).transpose(1, 2)
        if bool((logits.std(2) < 1e-6).all()):
            continue
        logs = (logits / temperature).log_softmax(2)
        entropies = -(logs.exp() * logs).sum(2)
        entropy = float(entropies.mean() / math.log(logits.shape[2]))
        # The median distribution's number of choices: boundaries of classes stay soft at any temperature.
        choices = float(entropies.median().exp())
        key = f"distill '{name}': at temperature {temperature:g} the teacher's distributions"
        numbers = {"entropy": entropy, "choices": choices}
        if temperature > 1 and entropy > _FLAT:
            evidence = f"{key} have {100 * entropy:.1f} % of a uniform one's entropy"
            found.append(Finding("temperature-flat", "warning", evidence, "lower distill.options.temperature", numbers))
        if temperature < 1 and choices < (_FEW_PLACES if over_positions else _ONE_HOT):
            evidence = f"{key} have {choices:.3g} choices (exponential of the entropy, median)"
            fix = "raise distill.options.temperature"
            found.append(Finding("temperature-one-hot", "warning", evidence, fix, numbers))
    return found


def heaviest_step(case: Case) -> int:
    """Return a step at which the terms' weights are large together: warm-up over, decay not begun."""
    steps = case.recipe.training.length
    terms = [term for term in case.built.distiller.terms.values() if isinstance(term, Term)]
    tried = sorted({max(1, round(steps * k / 20)) for k in range(21)})
    most = [max(term.weight(n) for n in tried) or 1.0 for term in terms]

    def least(n: int) -> float:
        shares = [term.weight(n) / top for term, top in zip(terms, most, strict=True)]
        return min(shares, default=1.0)

    return max(tried, key=least)


def _judge_gradients(case: Case, batches: Sequence[Any]) -> list[Finding]:
    """Compare each term's gradient in the student with the task's, by norm and angle."""
    distiller = case.built.distiller
    distiller.student.train()
    parameters = [one for one in distiller.student.parameters() if one.requires_grad]
    sums: dict[str, Tensor] = {}
    # Each weight where it counts most.
    step = heaviest_step(case)
    for batch in batches:
        losses = distiller.losses(batch, step)
        for name, value in losses.items():
            key = "task" if name.startswith("task/") else name.removeprefix("distill/")
            sums[key] = sums.get(key, torch.zeros(())) + _gradient(value, parameters)
    task = sums.pop("task", None)
    own = 0.0 if task is None else float(task.norm())
    # A student that was trained before has little gradient of its own.
    begun = case.recipe.student.checkpoint is not None
    found: list[Finding] = []
    for name, gradient in sums.items():
        norm = float(gradient.norm())
        if not math.isfinite(norm) or norm == 0:
            evidence = f"distill '{name}': its gradient in the student has norm {norm:g}"
            fix = "look at the term's taps, its weight and student.freeze"
            found.append(Finding("term-without-gradient", "error", evidence, fix, {"norm": norm}))
        elif task is not None and own > 0 and not isinstance(distiller.task, NoTask):
            cosine = float((gradient @ task) / (norm * own))
            found += _judge_ratio(name, norm / own, cosine, begun)
    return found


def _judge_ratio(name: str, ratio: float, cosine: float, begun: bool) -> list[Finding]:
    if _HEARD <= ratio <= _LOUD and cosine < _AGAINST:
        evidence = f"distill '{name}': its gradient points against the task's (cosine {cosine:+.2f}, {ratio:.3g} times)"
        fix = "do teacher and labels mean the same classes? Otherwise lower distill.weight"
        return [Finding("term-against-task", "warning", evidence, fix, {"ratio": ratio, "cosine": cosine})]
    if _QUIET <= ratio <= _LOUD or (begun and ratio > _LOUD):
        return []
    title, what, fix = "term-too-weak", "beside the task it does nothing", "raise"
    if ratio > _LOUD:
        title, what, fix = "term-too-strong", "the labels hardly count", "lower"
    evidence = f"distill '{name}': its gradient is {ratio:.3g} times the task's (cosine {cosine:+.2f}); {what}"
    return [Finding(title, "warning", evidence, f"{fix} distill.weight", {"ratio": ratio, "cosine": cosine})]


def _gradient(value: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the gradient of a scalar in all parameters as one vector; zeros where it does not depend on them."""
    if not value.requires_grad:
        return torch.zeros(sum(one.numel() for one in parameters))
    parts = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    flat: list[Tensor] = []
    for part, one in zip(parts, parameters, strict=True):
        flat.append(torch.zeros(one.numel()) if part is None else part.detach().flatten().float())
    return torch.cat(flat)
