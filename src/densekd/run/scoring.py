"""Scores, agreement and sample pictures of several models: by one pass over the images where the task can."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from densekd.builders.build import Built
from densekd.data.contract import Files
from densekd.data.maps import Resize
from densekd.ops.finite import output_of
from densekd.tasks.protocol import Scores, Task
from densekd.tasks.together import STUDENT, TEACHER, Compared, Loading, ScoresTogether


def score_models(
    task: Task,
    models: Mapping[str, nn.Module],
    files: Files,
    resize: Resize | None,
    loading: Loading,
    kept: Sequence[int] = (),
) -> Compared:
    """Score models on every image, and compare student and teacher where both are there.

    Args:
        task: one that cannot score them together passes over the images once for each, and again for the
            agreement; the numbers are the same.
        models: by their roles, all on one device.
        files: the images and what they are scored against.
        resize: what images are brought to before the models, or None.
        loading: how images are loaded.
        kept: numbers of images whose predictions are returned.
    """
    if isinstance(task, ScoresTogether):
        return task.compared(models, files, resize, loading, kept)
    scores: dict[str, Scores] = {}
    for role, model in models.items():
        with output_of(f"The {role}", model):
            scores[role] = task.scores(model, files, resize, loading.workers)
    # How often student and teacher agree needs no labels.
    if STUDENT in models and TEACHER in models:
        scores[STUDENT] |= task.agreement(models[STUDENT], models[TEACHER], files, resize)
    return Compared(scores)


def in_order(found: Compared, kept: Sequence[int]) -> dict[str, list[Any]]:
    """Return what each model predicted for the images that were kept, in their order; nothing where none was."""
    predicted: dict[str, list[Any]] = {}
    for role, by_number in found.predicted.items():
        predicted[role] = [by_number[number] for number in kept]
    return predicted


def draw_pictures(
    built: Built, models: Mapping[str, nn.Module], samples: Files, predicted: Mapping[str, Sequence[Any]], out: Path
) -> None:
    """Write sample pictures, from what was predicted already where the task does that.

    Args:
        built: for the task, and how pictures are predicted.
        models: by their roles.
        samples: the images.
        predicted: of each model, in the order of the images; empty: they are predicted now.
        out: the folder to write to.
    """
    task = built.task
    if predicted and isinstance(task, ScoresTogether):
        task.draw_samples(predicted, samples, out)
        return
    predictors = {role: task.predictor(model, built.package) for role, model in models.items()}
    task.sample_pictures(predictors, samples, out, range(len(samples)))
