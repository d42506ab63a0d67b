"""Checks before the first step: samples of the data are read and judged."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densekd.builders.build import Built
from densekd.data.class_order import describe_difference, notes_of
from densekd.data.contract import Files, subset
from densekd.data.facts import Facts, picture_remarks
from densekd.errors import RecipeError, UserError, see
from densekd.recipe import DataSpec
from densekd.tasks.findings import Finding, FindsProblems

SAMPLES = 32
# Odd files of a sample that are named.
_NAMED = 3


def check_before_training(built: Built, data: DataSpec) -> tuple[str, ...]:
    """Read and judge a sample of both splits, and find what the scores need.

    Args:
        built: what is trained.
        data: the recipe's data, for the names of the splits and what is allowed.

    Returns:
        What is odd, a sentence each.

    Raises:
        UserError: an image or its label is missing or damaged, there is nothing to learn, or a library is
            missing that scores need.
        RecipeError: the validation split is the training split.
    """
    same = validation_on_training(data)
    if same is not None:
        raise RecipeError(f"data.val: {same}")
    # What counts scores may need a library that is not there.
    built.task.metric()
    odd: list[str] = []
    for key, split, files in (("train", data.train, built.training.files), ("val", data.val, built.validation)):
        where = f"data.{key} ({split})"
        facts = _look(built, files)
        odd += [f"{where}: {line}" for line in _odd_files(subset(files, SAMPLES), facts)]
        found = judge(built.task, files, facts)
        odd += [f"{where}: {finding.what}" for finding in found]
        # A validation split without anything to find is odd; a training split stops.
        learns = key == "train" and built.learns_from_labels
        for finding in found:
            if learns and stops(finding, data):
                notes = "".join(f" {note}" for note in notes_of(files))
                raise UserError(
                    f"{where}: {finding.what}{notes} To train all the same, say 'data.allow: [nothing-to-learn]'."
                )
    return tuple(odd)


def _look(built: Built, files: Files) -> list[Facts]:
    """Read a sample of a split.

    Raises:
        UserError: an image or its label is missing or damaged.
    """
    sample: Any = subset(files, SAMPLES)
    return [built.task.look(replace(sample, items=(item,))) for item in sample.items]


def _odd_files(sample: Files, facts: list[Facts]) -> list[str]:
    """Describe what is odd about single files of a sample; of many the first."""
    lines: list[str] = []
    for item, fact in zip(sample.items, facts, strict=True):
        remarks = [remark for remark in (fact.error, fact.warning) if remark]
        if remarks:
            lines.append(f"{item.image}: {'; '.join(remarks)}")
    if len(lines) > _NAMED:
        more = len(lines) - _NAMED
        lines[_NAMED:] = [f"and {more} more of {len(facts)} images looked at; 'densekd data check' lists all."]
    # What is true of many pictures is said once.
    names = [str(item.image) for item in sample.items]
    for remark in picture_remarks(names, facts):
        lines.append(f"{remark.what}, the first of {len(facts)} images looked at: {remark.first}")
    return lines


def validation_on_training(data: DataSpec) -> str | None:
    """Say that a student would be scored on the images that it learns from, unless that is allowed."""
    if data.val != data.train or "val-is-train" in data.allow:
        return None
    return (
        f"'{data.val}' is data.train too, so that the student would be scored on the images that it learns from. "
        "Name another split, or say 'data.allow: [val-is-train]' where that is meant."
    )


def judge(task: object, files: Files, facts: Sequence[Facts]) -> list[Finding]:
    """Judge a split by what was read of it: what cannot be learnt, and what is odd.

    Args:
        task: that reads the files; one that judges nothing finds nothing.
        files: the whole split, or what can be read of it.
        facts: of a sample of its images, or of all.
    """
    return task.findings(files, facts) if isinstance(task, FindsProblems) else []


def stops(finding: Finding, data: DataSpec) -> bool:
    """Return True where a finding on the training split stops a training that learns from labels."""
    return finding.level == "nothing" and "nothing-to-learn" not in data.allow


def learnt_nothing(built: Built, scores: Any) -> str | None:
    """Say that a student learnt nothing: it scores no better than a guess, or sees one class everywhere.

    Args:
        built: what was trained.
        scores: of the student on the validation split.
    """
    headline, chance = built.task.metrics.headline, built.task.chance
    score = scores[headline.key]
    if score is None:
        return None
    if chance is not None and headline.gain(score, chance) <= 0:
        found, level = headline.format(score), headline.format(chance)
        return f"the student has learnt nothing: {headline.title} {found}, and a guess has {level}."
    confusion = scores.get("confusion")
    if confusion is None:
        return None
    # Rows are what is there, columns what was predicted.
    counts = np.asarray(confusion)
    there, predicted = np.flatnonzero(counts.sum(1)), np.flatnonzero(counts.sum(0))
    if len(there) > 1 and len(predicted) == 1:
        name = built.package.classes[predicted[0]]
        return f"the student has learnt nothing: it predicts '{name}' everywhere."
    return None


def require_same_classes(checkpoint: Path, built: Built, accept: bool = False) -> None:
    """Refuse to go on with a training whose data counts other classes by now.

    Args:
        checkpoint: the run's last.
        built: what is trained.
        accept: other names of as many classes are meant.

    Raises:
        UserError: other names, or another order, both lists are shown; or a damaged file.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
        names = content["densekd"]["package"]["classes"]
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{checkpoint}: damaged, so that the training cannot go on from it ({type(error).__name__}). Put back a "
            "copy, or begin anew with --overwrite."
        ) from error
    except (KeyError, TypeError):
        # An older one does not name its classes.
        return
    # The student's outputs can have other names, but not another number.
    if accept and len(names) == len(built.package.classes):
        return
    if list(names) != list(built.package.classes):
        difference = describe_difference(built.package.classes, names, "the data", "the checkpoint")
        raise UserError(
            f"{checkpoint}: cannot be resumed: {difference} Bring back the names and their order, or train "
            f"anew with student.checkpoint, which matches classes by name. {see('mismatch')}"
        )
