"""Score of the teacher before the first step, kept so that a resumed training and the next run do not pay again.

It is kept below the user's cache folder, by a digest of the teacher's weights, the images and labels that it is
scored on, and all that is said of the evaluation.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console

import densekd
from densekd.builders.build import Built
from densekd.data.contract import Files, subset
from densekd.data.fingerprint import fingerprint
from densekd.errors import UserError
from densekd.ops.finite import output_of
from densekd.recipe import Recipe
from densekd.run.checks import SAMPLES
from densekd.run.folder import is_first_process
from densekd.seal import read_document, write_document

_FORMAT = 1
# Keys of a recipe's data that change no score.
_NO_MATTER = {"root", "train", "batch_size", "workers", "cache", "allow", "license"}


class TeacherScore(NamedTuple):
    """What is known of a teacher.

    Args:
        score: its headline; None of images without labels.
        images: that it was scored on.
        kept: whether an earlier start has found it.
    """

    score: float | None
    images: int
    kept: bool


def score_teacher(built: Built, recipe: Recipe, device: torch.device, console: Console) -> None:
    """Score the teacher on a sample of the validation images: a broken one is seen at once.

    Args:
        built: what is trained.
        recipe: that it was built from.
        device: of the training.
        console: for people.
    """
    # One process says it for all.
    known = teacher_score(built, recipe, device) if is_first_process() else None
    # Images without labels have no scores.
    if known is None or known.score is None:
        return
    headline, score = built.task.metrics.headline, known.score
    found = f"{headline.title} {headline.format(score)}"
    when = ", found by an earlier start" if known.kept else ""
    console.print(f"teacher: {found} on {known.images} validation images{when}", highlight=False)
    chance = built.task.chance
    if chance is not None and headline.gain(score, chance) < 0:
        level = headline.format(chance)
        console.print(
            f"warning: the teacher is worse than chance ({level}); is it the right one?",
            style="yellow",
            highlight=False,
        )


def teacher_score(built: Built, recipe: Recipe, device: torch.device) -> TeacherScore | None:
    """Return the teacher's score on a sample of the validation images; None without a teacher that can be scored.

    Args:
        built: with the teacher, which is moved to ``device`` and back.
        recipe: that it was built from.
        device: where it is scored.

    Raises:
        NotFiniteError: its output means nothing.
    """
    teacher = built.scored_teacher
    if teacher is None:
        return None
    sample = subset(built.validation, SAMPLES)
    key = key_of(built, recipe, sample, device)
    file = None if key is None else _folder() / f"{key}.json"
    if file is not None:
        with suppress(OSError, RuntimeError, UserError, KeyError, TypeError, ValueError):
            return TeacherScore(_read(file), len(sample), True)
    teacher.to(device)
    try:
        with output_of("The teacher", teacher):
            found = built.task.scores(teacher, sample, built.package.resize, **_workers(recipe, device))
    finally:
        # Lightning moves the whole of a training itself.
        teacher.to("cpu")
    score = found[built.task.metrics.headline.key]
    if file is not None:
        # Without a folder to write to it is found again by the next start.
        with suppress(OSError, RuntimeError, UserError):
            write_document(file, {"format": _FORMAT, "score": score, "images": len(sample)})
    return TeacherScore(score, len(sample), False)


def key_of(built: Built, recipe: Recipe, sample: Files, device: torch.device) -> str | None:
    """Return the digest that a score belongs to; None where code of the user's has a part in it, which may change."""
    assert recipe.teacher is not None
    names = (recipe.teacher.model or "", recipe.data.dataset, built.package.task)
    if built.teacher is None or any(":" in name for name in names):
        return None
    data = recipe.data.model_dump(mode="json")
    facts: dict[str, Any] = {
        "versions": [_FORMAT, densekd.__version__, torch.__version__, device.type, recipe.kernels],
        "teacher": [built.teacher.digest, recipe.teacher.model_dump(mode="json")],
        "images": fingerprint(sample).digest,
        "classes": list(built.package.classes),
        "data": {name: value for name, value in data.items() if name not in _NO_MATTER},
        "task": [built.package.task, built.package.task_options, recipe.task.model_dump(mode="json")],
        "evaluation": recipe.evaluation.model_dump(mode="json"),
        "resize": built.package.resize,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _workers(recipe: Recipe, device: torch.device) -> dict[str, int]:
    """Load by the training's processes where a GPU would wait for this one."""
    return {"workers": recipe.data.loading_processes} if device.type == "cuda" else {}


def _folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "densekd" / "teacher-scores"


def _read(file: Path) -> float | None:
    """Return a score that was kept.

    Raises:
        ValueError: none that this version has written; or another error of a damaged file.
    """
    content = read_document(file)
    score = content["score"]
    if content["format"] != _FORMAT or not isinstance(score, float | int | None):
        raise ValueError(f"{file}: not a score")
    return score
