"""No task: the student learns from the terms alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from densekd.metric_names import MetricNames
from densekd.tasks.protocol import Batch, Metric, TrainingTask


class NoTask(nn.Module):
    """No loss of the student's own: it learns from the terms alone, and is scored as ever.

    Args:
        scored_as: the task of its data: what travels in a batch, what losses get as target, how it
            is scored.
    """

    def __init__(self, scored_as: TrainingTask) -> None:
        super().__init__()
        self.scored_as = scored_as

    @property
    def metrics(self) -> MetricNames:
        """The names of the scores of the data's task."""
        return self.scored_as.metrics

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return nothing: no tap is read."""
        return []

    def images(self, batch: Batch) -> Tensor:
        """Return what a model takes, as the data's task does."""
        return self.scored_as.images(batch)

    def target(self, batch: Batch) -> Any:
        """Return what terms may learn from; void where there are no labels."""
        return self.scored_as.target(batch)

    def losses(
        self, student: nn.Module, output: Any, student_features: Mapping[str, Tensor], target: Any
    ) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def metric(self) -> Metric:
        """Return a new accumulator for :meth:`evaluate`."""
        return self.scored_as.metric()

    def evaluate(self, model: nn.Module, samples: Sequence[Any], metric: Any) -> None:
        """Add samples to ``metric``."""
        self.scored_as.evaluate(model, samples, metric)
