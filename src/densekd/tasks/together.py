"""Several models scored in one pass over the images: each is read once, and goes through each model once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from densekd.ops.finite import output_of
from densekd.tasks.protocol import Scores

# Two roles that are compared with each other, where both are there.
STUDENT = "student"
TEACHER = "teacher"


@dataclass(frozen=True)
class Loading:
    """How the images of an evaluation are loaded.

    Args:
        workers: loading processes.
        batch: images that are loaded together; those of one size are predicted together.
    """

    workers: int = 0
    batch: int = 8


@dataclass(frozen=True)
class Compared:
    """What one pass over the images has found.

    Args:
        scores: of each model, as :meth:`Task.scores` returns them; the student's hold its agreement with
            the teacher as well.
        predicted: of each model what it predicted for the images that were asked for, by their number.
    """

    scores: dict[str, Scores] = field(default_factory=dict)
    predicted: dict[str, dict[int, Any]] = field(default_factory=dict)


@runtime_checkable
class ScoresTogether(Protocol):
    """A task that scores several models in one pass; tasks of others need not."""

    def compared(
        self, models: Mapping[str, nn.Module], files: Any, resize: Any, loading: Loading, kept: Sequence[int] = ()
    ) -> Compared:
        """Score models on every image of ``files``; the numbers are those of each model alone.

        Args:
            models: by their roles, all on one device; changed to evaluation mode.
            files: the images and what they are scored against.
            resize: what images are brought to before the models, or None.
            loading: how images are loaded.
            kept: numbers of images whose predictions are returned.
        """
        ...

    def draw_samples(self, predicted: Mapping[str, Sequence[Any]], files: Any, out: Path) -> None:
        """Write the pictures of :meth:`Task.sample_pictures` from what was predicted.

        Args:
            predicted: of each model, in the order of the images.
            files: the images.
            out: the folder to write to.
        """
        ...


def predictions_of(
    models: Mapping[str, nn.Module], predict: Any, samples: Sequence[Any], device: torch.device
) -> Iterator[dict[str, Any]]:
    """Predict samples by several models in step.

    Args:
        models: by their roles.
        predict: ``(model, samples, device)`` -> predictions, which come in the same parts for all models.
        samples: of one batch.
        device: where the models are.

    Yields:
        the next part of each model's predictions, by role.

    Raises:
        NotFiniteError: NaN or infinity, and whose.
    """
    streams = [_named(role, model, predict(model, samples, device)) for role, model in models.items()]
    for parts in zip(*streams, strict=True):
        yield dict(zip(models, parts, strict=True))


def _named(role: str, model: nn.Module, found: Iterator[Any]) -> Iterator[Any]:
    """Say whose output was not finite."""
    with output_of(f"The {role}", model):
        yield from found
