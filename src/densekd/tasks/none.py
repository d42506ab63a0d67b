"""No task: the student learns from the terms alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from densekd.tasks.detection import Detection
from densekd.tasks.segmentation import Segmentation


class NoTask(nn.Module):
    """No loss of the student's own: it learns from the terms alone, and is predicted and scored as ever.

    Args:
        scored_as: how it is predicted and scored.
    """

    def __init__(self, scored_as: Segmentation | Detection) -> None:
        super().__init__()
        self.scored_as = scored_as

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return nothing: no tap is read."""
        return []

    def images(self, batch: Any) -> Tensor:
        """Return what a model takes, as the task it is scored as."""
        return self.scored_as.images(batch)

    def target(self, batch: Any) -> Any:
        """Return the labels; void where there are none."""
        return self.scored_as.target(batch)

    def losses(
        self, student: nn.Module, output: Any, student_features: Mapping[str, Tensor], target: Any
    ) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def metric(self) -> Any:
        """Return a new accumulator for :meth:`evaluate`."""
        return self.scored_as.metric()

    def evaluate(self, model: nn.Module, samples: Sequence[Any], metric: Any) -> None:
        """Add samples to ``metric``."""
        self.scored_as.evaluate(model, samples, metric)
