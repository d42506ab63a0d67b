"""Teacher's scores: worse than chance, another input normalization, another order of classes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from densekd.data.contract import subset
from densekd.doctor.case import Case
from densekd.doctor.finding import Finding
from densekd.models import contract
from densekd.models.families import CAFFE, IMAGENET, Convention
from densekd.tasks.segmentation.task import Segmentation

# Validation images that are scored.
_IMAGES = 16
# Points of mIoU by which another reading must be better, in each half of the images.
_MARGIN = 3.0
_PLAIN = Convention("rgb", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_CONVENTIONS = {
    "ImageNet's mean and std": IMAGENET,
    "mean 0.5, std 0.5": Convention("rgb", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "values 0..1": _PLAIN,
    "values 0..255": Convention("rgb", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    "Caffe's BGR mean, values 0..255": CAFFE,
}


class Renormalized(nn.Module):
    """A model that is fed as another input convention would feed it.

    Args:
        model: normalizes its input by its own convention.
        own, other: the model's convention, and the one to try.
    """

    def __init__(self, model: nn.Module, own: Convention, other: Convention) -> None:
        super().__init__()
        self.model = model
        self.own = own
        self.other = other
        self.align_corners = contract.align_corners(model)
        self.num_classes = contract.num_classes(model)

    def forward(self, images: Tensor) -> Any:
        """Return the model's logits for float RGB in [0, 1], ``[B, 3, H, W]``."""
        # What the network itself should read, by the other convention.
        wanted = images.flip(1) if self.other.order == "bgr" else images
        wanted = (wanted - _column(self.other.mean, images)) / _column(self.other.std, images)
        # The image of which the model's own normalization makes that.
        fed = wanted * _column(self.own.std, images) + _column(self.own.mean, images)
        return self.model(fed.flip(1) if self.own.order == "bgr" else fed)


def examine_teacher(case: Case) -> list[Finding]:
    """Score the teacher as it is and as it may have been meant to be read."""
    teacher, task = case.built.scored_teacher, case.built.task
    if teacher is None or not isinstance(task, Segmentation):
        return []
    sample: Any = subset(case.built.validation, _IMAGES)
    # Halves of the images: what is better by chance is seldom better in both.
    halves = [sample] if len(sample) < 2 else _halves(sample)
    scored = [task.scores(teacher, half, case.built.package.resize) for half in halves]
    now = [one[task.metrics.headline.key] for one in scored]
    if any(score is None for score in now):
        return []
    mean = float(np.mean(now))
    found: list[Finding] = []
    if mean < task.chance:
        evidence = f"the teacher's mIoU is {mean:.1f} on {len(sample)} validation images, a guess has {task.chance:.1f}"
        fix = "is teacher.checkpoint the right one, for these classes?"
        found.append(Finding("teacher-below-chance", "error", evidence, fix, {"miou": mean, "chance": task.chance}))
    return [*found, *_other_inputs(case, halves, now), *_other_classes(case, scored)]


def _halves(files: Any) -> list[Any]:
    return [replace(files, items=files.items[k::2]) for k in range(2)]


def _other_inputs(case: Case, halves: Sequence[Any], now: Sequence[float]) -> list[Finding]:
    """Try other conventions of the input; report the best where both halves gain."""
    teacher, task = case.built.scored_teacher, case.built.task
    assert teacher is not None
    if case.recipe.data.channels != 3:
        return []
    own = contract.convention(teacher) or _PLAIN
    best, gain, score = "", 0.0, 0.0
    chosen = own
    for name, other in _tried(own).items():
        model = Renormalized(teacher, own, other)
        scores = [task.scores(model, half, case.built.package.resize)["miou"] for half in halves]
        least = min(new - old for new, old in zip(scores, now, strict=True))
        if least > max(_MARGIN, gain):
            best, gain, score = name, least, float(np.mean(scores))
            chosen = other
    if not best:
        return []
    before = float(np.mean(now))
    evidence = f"the teacher's mIoU is {before:.1f}, and {score:.1f} with {best} (at least {gain:+.1f} in both halves)"
    mean = ", ".join(f"{value:.5g}" for value in chosen.mean)
    std = ", ".join(f"{value:.5g}" for value in chosen.std)
    fix = f"teacher.options.input: {{order: {chosen.order}, mean: [{mean}], std: [{std}]}}"
    return [Finding("teacher-input", "error", evidence, fix, {"miou": before, "better": score})]


def _tried(own: Convention) -> dict[str, Convention]:
    """Return the conventions to try: the model's with colors exchanged, and the usual ones in either order."""
    turned = "bgr" if own.order == "rgb" else "rgb"
    tried = {f"its own mean and std in {turned.upper()}": Convention(turned, own.mean[::-1], own.std[::-1])}
    for name, usual in _CONVENTIONS.items():
        tried[name] = usual
        other = "bgr" if usual.order == "rgb" else "rgb"
        tried[f"{name}, {other.upper()}"] = Convention(other, usual.mean[::-1], usual.std[::-1])
    return tried


def _other_classes(case: Case, scored: Sequence[Any]) -> list[Finding]:
    """Look in the confusion matrix for an order of classes by which the teacher scores higher."""
    names = case.built.package.classes
    counts = [np.asarray(one["confusion"], dtype=np.float64) for one in scored]
    order = best_order(sum(counts))
    if order == list(range(len(names))):
        return []
    gains = [_miou(one[:, order]) - _miou(one) for one in counts]
    if min(gains) < _MARGIN:
        return []
    moved = [f"'{names[k]}' is its '{names[c]}'" for k, c in enumerate(order) if k != c]
    total: np.ndarray = sum(counts)
    before, after = _miou(total), _miou(total[:, order])
    said = ", ".join(moved[:5])
    evidence = f"the teacher's mIoU is {before:.1f}, and {after:.1f} with classes in another order: {said}"
    fix = "name the teacher's classes in its own order: teacher.classes"
    return [Finding("teacher-classes", "error", evidence, fix, {"miou": before, "better": after})]


def best_order(counts: np.ndarray) -> list[int]:
    """Assign to each class the output whose IoU with it is highest, the best pairs first.

    Args:
        counts: pixels ``[C, C]``, rows labels, columns predictions.
    """
    union = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    iou = counts / np.maximum(union, 1)
    order = [-1] * len(counts)
    taken: set[int] = set()
    # Greedy: what has no overlap with anything is left for the end.
    for place in np.argsort(-iou, axis=None, kind="stable"):
        row, column = divmod(int(place), len(counts))
        if iou[row, column] > 0 and order[row] < 0 and column not in taken:
            order[row] = column
            taken.add(column)
    # Classes without any hit keep their own output where it is free.
    free = [c for c in range(len(counts)) if c not in taken]
    for row, column in enumerate(order):
        if column >= 0:
            continue
        order[row] = row if row in free else free[0]
        free.remove(order[row])
    return order


def _miou(counts: np.ndarray) -> float:
    """Return the mean IoU in percent over the classes that occur."""
    there = counts.sum(1) > 0
    union = counts.sum(1) + counts.sum(0) - np.diag(counts)
    return float(100 * (np.diag(counts)[there] / union[there]).mean())


def _column(values: Sequence[float], images: Tensor) -> Tensor:
    return torch.tensor(values, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
