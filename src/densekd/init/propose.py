"""First recipes for a data folder: ``densekd init``."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub import constants
from torch import nn

from densekd.atomic import write_text
from densekd.errors import UserError
from densekd.init.choose import Choice, choose, shorten
from densekd.init.look import Found, look
from densekd.init.machine import Machine, step_milliseconds, this_machine
from densekd.init.write import student_recipe, teacher_recipe
from densekd.models.open import Opened, open_model
from densekd.models.sources import SOURCES
from densekd.network import is_reachable
from densekd.recipe import load_recipe

TEACHER, STUDENT = "teacher.yaml", "student.yaml"
# Detectors whose classification head has the five levels that the student's has.
_ALIKE = ("gfl", "retinanet")
# Images of the steps that are timed.
_TIMED = 2


@dataclass(frozen=True)
class Proposal:
    """What was found, chosen and written.

    Args:
        found: the data.
        choice: models, sizes and steps.
        machine: that they were chosen for.
        files: the recipes, in the order in which they are trained.
        minutes: of each training on this machine, without validation.
        notes: what a person should know, a sentence each.
    """

    found: Found
    choice: Choice
    machine: Machine
    files: tuple[Path, ...]
    minutes: tuple[float, ...]
    notes: tuple[str, ...]


def propose(
    root: Path,
    out: Path = Path(),
    teacher: str | None = None,
    limit: float | None = None,
    task: str | None = None,
    replace: bool = False,
) -> Proposal:
    """Look at a data folder and write ``teacher.yaml`` and ``student.yaml`` for it.

    Args:
        root: of the data.
        out: folder of the recipes.
        teacher: a checkpoint, run, URL or ``hf:NAME`` that is there already; then no ``teacher.yaml``.
        limit: milliseconds an image that the student may take on this machine.
        task: what the data shall be read for; None: what it is kept for.
        replace: whether recipes that are there are replaced.

    Raises:
        UserError: data that nobody can read, recipes that are there, a teacher that does not fit, or
            no student that is fast enough.
    """
    wanted = [out / STUDENT] if teacher is not None else [out / TEACHER, out / STUDENT]
    there = [path for path in wanted if path.exists()]
    if there and not replace:
        raise UserError(f"{there[0]} is there already; --force replaces it, --out FOLDER writes elsewhere.")
    opened = None if teacher is None else _opened(teacher)
    found = look(root, task, None if opened is None else opened.classes)
    machine = this_machine()
    network = not constants.HF_HUB_OFFLINE and is_reachable(constants.ENDPOINT)
    given = _teacher(teacher, opened, found)
    notes = list(given.notes)
    choice = choose(found, machine, limit, network)
    costs = _costs(found, choice, machine, given.model)
    choice = shorten(choice, costs, machine)
    texts = [student_recipe(found, choice, machine, network, given.section, given.features)]
    if teacher is None:
        texts.insert(0, teacher_recipe(found, choice, machine, network))
    _write(wanted, texts)
    if not network:
        notes.append("the hub of pretrained weights is out of reach, so that models begin from random weights")
    minutes = [steps * cost / 60_000 for steps, cost in zip(choice.steps, costs, strict=True)]
    return Proposal(found, choice, machine, tuple(wanted), tuple(minutes[-len(wanted) :]), (*found.notes, *notes))


class _Teacher(NamedTuple):
    """A teacher: its section of a recipe, itself where it is there, and what is odd about it."""

    section: dict[str, str]
    model: nn.Module | None = None
    notes: tuple[str, ...] = ()
    # A detector of other classes, whose scores nothing can be compared with.
    features: bool = False


def _opened(name: str) -> Opened | None:
    """Open a teacher that is a file or a folder here; others are downloaded, and checked, by a training.

    Raises:
        UserError: nothing there, or nothing that can be opened.
    """
    if name.partition(":")[0] in SOURCES or "://" in name:
        return None
    return open_model(Path(name))


def _teacher(name: str | None, opened: Opened | None, found: Found) -> _Teacher:
    """Return what a recipe says of the teacher.

    Raises:
        UserError: a detector of other levels than the student's.
    """
    if name is None:
        return _Teacher({"checkpoint": "runs/teacher"})
    if opened is None:
        return _Teacher({"checkpoint" if "://" in name else "model": name})
    if found.task == "detection" and opened.config.model not in _ALIKE:
        raise UserError(
            f"--teacher {name}: a {opened.config.model}, whose head has other levels than our students'. "
            "docs/detection.md has the taps for it; without --teacher, recipes with a GFL teacher are written."
        )
    mine, theirs = len(found.train.classes.names), len(opened.classes.names)
    notes: tuple[str, ...] = ()
    if mine != theirs and found.task == "detection":
        said = f"the teacher tells {theirs} classes apart and the data {mine}: it teaches the features of its neck"
        return _Teacher({"checkpoint": name}, opened.model, (said,), features=True)
    if mine != theirs:
        notes = (
            f"the teacher tells {theirs} classes apart and the data {mine}: teacher.classes of {STUDENT} maps them, "
            "see docs/models.md",
        )
    return _Teacher({"checkpoint": name}, opened.model, notes)


def _write(paths: list[Path], texts: list[str]) -> None:
    """Write recipes, each checked as a training would read it.

    Raises:
        UserError: a folder that cannot be written.
    """
    try:
        for path, text in zip(paths, texts, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
            load_recipe(path)
    except OSError as error:
        raise UserError(f"{error.filename or paths[0]}: cannot be written ({error.strerror}).") from error


def _costs(found: Found, choice: Choice, machine: Machine, given: nn.Module | None) -> tuple[float, float]:
    """Measure the milliseconds of a step of the teacher's training, and of the student's with its baseline."""
    classes = len(found.train.classes.names)
    # Detectors and pyramids take whole strides.
    height, width = (-(-side // 32) * 32 for side in choice.crop or choice.size)
    images = torch.rand(_TIMED, 3, height, width)
    teacher = given if given is not None else choice.teacher.build(classes)
    student = choice.student.build(classes)
    learning = 0.0 if given is not None else step_milliseconds(teacher, None, images, machine)
    alone = step_milliseconds(student, None, images, machine)
    taught = step_milliseconds(student, teacher, images, machine)
    scale = choice.batch / _TIMED
    return learning * scale, (alone + taught) * scale
