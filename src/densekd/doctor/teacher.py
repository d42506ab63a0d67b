"""Teacher's scores: worse than chance, another input normalization, another order of classes."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from densekd.data.contract import subset
from densekd.data.files import SegmentationFiles
from densekd.doctor.case import Case
from densekd.doctor.classes import best_order, confusion, constant_guess, miou, total
from densekd.doctor.finding import Finding
from densekd.models import contract
from densekd.models.families import CAFFE, IMAGENET, Convention
from densekd.tasks.segmentation.task import Segmentation

# Validation images that are scored.
_IMAGES = 16
# Points of mIoU by which another reading must be better, in each half of the images.
_MARGIN = 3.0
# A teacher should be better by this factor than what needs no image: chance, and the most frequent class everywhere.
_ABOVE = 1.1
# Another reading must be better than such a guess by this factor, or it is another guess.
_SEES = 1.5
# Share of two classes' pixels that are taken for each other where labels are mixed, and where a teacher is sure.
_MIXED, _APART = 0.3, 0.05
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
    if teacher is None:
        return []
    if not isinstance(task, Segmentation):
        return _judge_without_chance(case)
    # Halves of the images: what is better by chance is seldom better in both.
    halves = _halves(case.built.validation)
    scored = [task.scores(teacher, half, case.built.package.resize) for half in halves]
    now = [one[task.metrics.headline.key] for one in scored]
    if any(score is None for score in now):
        return []
    mean = float(np.mean(now))
    guess = max(task.chance, constant_guess(total(confusion(scored))))
    inputs, classes = _other_inputs(case, halves, now, guess), _other_classes(case, scored, guess)
    # Wrong colors look like exchanged classes: the reading that explains more is said.
    if inputs and classes and inputs[0].numbers["better"] >= classes[0].numbers["better"]:
        classes = [one for one in classes if one.name != "teacher-classes"]
    found = [*inputs, *_below_student(case, halves, mean), *classes]
    # By wrong labels no teacher can be judged.
    if mean < _ABOVE * guess and not any(one.name == "labels-swapped" for one in found):
        evidence = f"the teacher's mIoU is {mean:.1f}, and {guess:.1f} without looking at the image"
        fix = "is teacher.checkpoint the right one, for these classes?"
        found.insert(0, Finding("teacher-below-chance", "error", evidence, fix, {"miou": mean, "chance": guess}))
    return found


def _judge_without_chance(case: Case) -> list[Finding]:
    """Remark on a teacher of another task whose score is zero, or worse than its task's chance."""
    teacher, task = case.built.scored_teacher, case.built.task
    assert teacher is not None
    headline = task.metrics.headline
    sample: Any = subset(case.built.validation, _IMAGES)
    score = task.scores(teacher, sample, case.built.package.resize)[headline.key]
    # A score that falls with the error has no worst value that is known.
    chance = task.chance
    if chance is None and headline.gain(1.0, 0.0) > 0:
        chance = 0.0
    if score is None or chance is None or headline.gain(score, chance) > 0:
        return []
    evidence = f"the teacher's {headline.title} is {headline.format(score)} on {len(sample)} validation images"
    fix = "is teacher.checkpoint the right one, for these classes?"
    return [Finding("teacher-below-chance", "error", evidence, fix, {"score": score, "chance": chance})]


def _below_student(case: Case, halves: Sequence[Any], teacher: float) -> list[Finding]:
    """Compare the teacher with a student that begins with a checkpoint."""
    if case.recipe.student.checkpoint is None:
        return []
    task, student = case.built.task, case.built.distiller.student
    scores = [task.scores(student, half, case.built.package.resize)["miou"] for half in halves]
    score = float(np.mean(scores))
    if score <= teacher:
        return []
    evidence = f"the student begins with mIoU {score:.1f}, the teacher has {teacher:.1f}"
    fix = "take a better teacher.checkpoint, or train without a teacher"
    return [Finding("teacher-below-student", "warning", evidence, fix, {"student": score, "teacher": teacher})]


def _halves(files: Any) -> list[Any]:
    """Return the even and the odd ones of a sample of a split."""
    sample = subset(files, _IMAGES)
    if len(sample) < 2:
        return [sample]
    return [replace(sample, items=sample.items[k::2]) for k in range(2)]


def _other_inputs(case: Case, halves: Sequence[Any], now: Sequence[float], guess: float) -> list[Finding]:
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
        # Of a model that predicts nothing, another reading may be another constant.
        if least > max(_MARGIN, gain) and np.mean(scores) > _SEES * guess:
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
    turned = _turned(own)
    tried = {f"its own mean and std in {turned.order.upper()}": turned}
    for name, usual in _CONVENTIONS.items():
        other = _turned(usual)
        tried[name] = usual
        tried[f"{name}, {other.order.upper()}"] = other
    return tried


def _turned(convention: Convention) -> Convention:
    """Return a convention with colors in the other order, each with its own mean and deviation."""
    order: Literal["rgb", "bgr"] = "bgr" if convention.order == "rgb" else "rgb"
    return Convention(order, convention.mean[::-1], convention.std[::-1])


def _other_classes(case: Case, scored: Sequence[Any], guess: float) -> list[Finding]:
    """Look for an order of classes by which the teacher agrees with the labels of either split.

    An order that helps on both splits is the teacher's; on one alone, the labels of that one are wrong.
    """
    teacher, task = case.built.scored_teacher, case.built.task
    assert teacher is not None
    learnt: Any = case.built.training.files
    on_val = _reordered(case, confusion(scored), guess)
    on_train = None
    again: list[Any] = []
    if isinstance(learnt, SegmentationFiles) and learnt.labels != "absent":
        again = [task.scores(teacher, half, case.built.package.resize) for half in _halves(learnt)]
        on_train = _reordered(case, confusion(again), guess)
    if on_val is not None and on_train is not None:
        said, numbers = on_val
        fix = "name the teacher's classes in its own order: teacher.classes"
        return [Finding("teacher-classes", "error", f"the teacher's {said}", fix, numbers)]
    for split, found in (("train", on_train), ("val", on_val)):
        if found is not None:
            said, numbers = found
            evidence = f"on data.{split} alone the teacher's {said}"
            fix = f"compare the labels of data.{split} with data.classes: numbers are exchanged"
            return [Finding("labels-swapped", "error", evidence, fix, numbers)]
    if not again:
        return []
    counts = {"train": total(confusion(again)), "val": total(confusion(scored))}
    return [*_mixed(case, counts, "train", "val"), *_mixed(case, counts, "val", "train")]


def _mixed(case: Case, counts: dict[str, np.ndarray], split: str, other: str) -> list[Finding]:
    """Look for two classes that the teacher tells apart on one split, and that are exchanged in many images of another.

    Classes that are hard to tell apart are confused on both.
    """
    names = case.built.package.classes
    rows = {name: one / np.maximum(one.sum(1, keepdims=True), 1) for name, one in counts.items()}
    found: list[Finding] = []
    for first, second in combinations(range(len(names)), 2):
        here = min(rows[split][first, second], rows[split][second, first])
        there = max(rows[other][first, second], rows[other][second, first])
        if here < _MIXED or there > _APART:
            continue
        pair = f"'{names[first]}' and '{names[second]}'"
        evidence = (
            f"on data.{split} the teacher takes {pair} for each other in at least {100 * here:.0f} % of their pixels, "
            f"on data.{other} in at most {100 * there:.0f} %"
        )
        fix = f"compare the labels of data.{split} with data.classes: in some files numbers are exchanged"
        found.append(Finding("labels-swapped", "warning", evidence, fix, {"here": float(here), "there": float(there)}))
    return found


def _reordered(case: Case, counts: Sequence[np.ndarray], guess: float) -> tuple[str, dict[str, float]] | None:
    """Return what another order of classes would gain; None where each half does not gain enough."""
    names = case.built.package.classes
    together = total(counts)
    order = best_order(together)
    if order == list(range(len(names))) or not all(one.sum() for one in counts):
        return None
    gains = [miou(one[:, order]) - miou(one) for one in counts]
    before, after = miou(together), miou(together[:, order])
    if min(gains) < _MARGIN or after < _SEES * guess:
        return None
    moved = [f"'{names[k]}' is its '{names[c]}'" for k, c in enumerate(order) if k != c]
    said = ", ".join(moved[:5])
    evidence = f"mIoU is {before:.1f}, and {after:.1f} with classes in another order: {said}"
    return evidence, {"miou": before, "better": after}


def _column(values: Sequence[float], images: Tensor) -> Tensor:
    return torch.tensor(values, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
