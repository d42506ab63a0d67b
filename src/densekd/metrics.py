"""Scores of semantic segmentation, all from one confusion matrix that lives on the device."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class ConfusionMatrix(nn.Module):
    """Count pixels by (label, prediction); void pixels are not counted.

    Args:
        num_classes: C; labels and predictions are 0..C-1.
        ignore_index: the label that is not scored.
    """

    counts: Tensor

    def __init__(self, num_classes: int, ignore_index: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.register_buffer("counts", torch.zeros(num_classes, num_classes, dtype=torch.int64), persistent=False)

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        """Add one or more images; ``predicted`` and ``labels`` are integer tensors of the same shape."""
        valid = labels != self.ignore_index
        # Void pixels go to one bin past the end: no boolean indexing, so the device need not report a size.
        index = torch.where(valid, labels * self.num_classes + predicted, self.num_classes**2)
        counted = torch.bincount(index.flatten(), minlength=self.num_classes**2 + 1)
        self.counts += counted[:-1].view(self.num_classes, self.num_classes)

    def reset(self) -> None:
        """Forget everything."""
        self.counts.zero_()

    def gather(self) -> None:
        """Add up the counts of all processes, each of which must call this; alone, do nothing."""
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.counts)

    def compute(self) -> dict[str, Any]:
        """Return the scores of what was counted, see :func:`scores`."""
        return scores(self.counts)


def scores(counts: Tensor) -> dict[str, Any]:
    """Turn counts ``[C, C]`` (rows: labels, columns: predictions) into scores in percent.

    Returns:
        ``miou``: mean intersection over union; classes absent from labels and predictions are left out.
        ``macc``: mean recall over the classes that occur in the labels. ``aacc``: share of pixels that are right.
        ``iou``: list of C per-class values, None for absent classes. All None when nothing was counted.
    """
    table = counts.double().cpu()
    hits, labelled, predicted = table.diag(), table.sum(1), table.sum(0)
    union = labelled + predicted - hits
    iou = 100 * hits / union
    recall = 100 * hits / labelled
    return {
        "miou": _mean(iou[union > 0]),
        "macc": _mean(recall[labelled > 0]),
        "aacc": _mean((100 * hits.sum() / table.sum())[None][table.sum()[None] > 0]),
        "iou": [value if total > 0 else None for value, total in zip(iou.tolist(), union.tolist(), strict=True)],
    }


def _mean(values: Tensor) -> float | None:
    return values.mean().item() if len(values) else None
