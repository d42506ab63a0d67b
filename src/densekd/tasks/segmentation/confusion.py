"""Scores of semantic segmentation: counts that live on the device, everything else derived from them."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

Absent = Literal["excluded", "zero"]

_DRAWS = 2000


class ConfusionMatrix(nn.Module):
    """Count pixels by (label, prediction), and per image by (label and prediction, label, prediction) alone.

    Void pixels are not counted. ``[N, 3, C]`` numbers per image are what a confidence interval over
    images needs.

    Args:
        num_classes: C; labels and predictions are 0..C-1.
        ignore_index: the label that is not scored.
    """

    counts: Tensor

    def __init__(self, num_classes: int, ignore_index: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.register_buffer("counts", counts, persistent=False)
        self.images: list[Tensor] = []

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        """Add images ``[B, H, W]``, or any one array of pixels; integers."""
        C = self.num_classes
        B = len(labels) if labels.dim() == 3 else 1
        valid = labels != self.ignore_index
        # Void pixels go to one bin past the end: no boolean indexing, so that the device need not
        # report a size.
        index = torch.where(valid, labels * C + predicted, C * C).reshape(B, -1)
        # Every image has bins of its own, so that one count serves the whole batch.
        index = index + (C * C + 1) * torch.arange(B, device=index.device)[:, None]
        counted = torch.bincount(index.flatten(), minlength=B * (C * C + 1))
        table = counted.view(B, -1)[:, :-1].reshape(B, C, C)
        self.counts += table.sum(0)
        # Of one image, hits and both margins are all that its IoU needs.
        hits = table.diagonal(dim1=1, dim2=2)
        self.images.append(torch.stack([hits, table.sum(2), table.sum(1)], 1))

    def reset(self) -> None:
        """Forget everything."""
        self.counts.zero_()
        self.images.clear()

    def gather(self) -> None:
        """Add up the counts of all processes, each of which must call this; alone, do nothing."""
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.counts)

    def compute(self) -> dict[str, Any]:
        """Return the scores of what was counted, see :func:`scores`."""
        return scores(self.counts)


def scores(counts: Tensor, absent: Absent = "excluded") -> dict[str, Any]:
    """Turn counts ``[C, C]`` (rows: labels, columns: predictions) into scores in percent.

    Args:
        counts: of all images.
        absent: classes that occur neither in labels nor in predictions are ``excluded`` from the
            means (mmsegmentation, cityscapesscripts) or count as ``zero`` (TorchDistiller, CIRKD,
            HWD, whose COCO-Stuff has 11 such classes).

    Returns:
        ``miou``: mean intersection over union. ``fwiou``: the same, weighted by the classes'
        pixels. ``macc``: mean recall over the classes that occur in the labels. ``aacc``: share of
        pixels that are right. ``iou``, ``acc``: lists of C per-class values, None for absent
        classes. All None when nothing was counted.
    """
    table = counts.double().cpu()
    hits, labelled, predicted = table.diag(), table.sum(1), table.sum(0)
    union = labelled + predicted - hits
    total = table.sum()
    # 0 / 0 is NaN: a class that does not occur.
    iou, recall = 100 * hits / union, 100 * hits / labelled
    some = total[None] > 0
    counted_iou, counted_recall = iou[union > 0], recall[labelled > 0]
    if absent == "zero" and bool(some):
        counted_iou, counted_recall = iou.nan_to_num(0), recall.nan_to_num(0)
    return {
        "miou": _mean(counted_iou),
        "fwiou": _mean((labelled / total * iou.nan_to_num(0)).sum()[None][some]),
        "macc": _mean(counted_recall),
        "aacc": _mean((100 * hits.sum() / total)[None][some]),
        "iou": _present(iou, union),
        "acc": _present(recall, labelled),
    }


def confidence_interval(images: Sequence[Tensor], level: float = 0.95) -> list[float] | None:
    """Bootstrap the mIoU over images: the percentiles of 2000 seeded draws with replacement.

    Args:
        images: ``[B, 3, C]`` parts of :class:`ConfusionMatrix`, in any order.
        level: share of the draws between the two ends.

    Returns:
        Lower and upper end in percent; None for fewer than two images or without a labelled pixel.
    """
    if not images:
        return None
    parts = torch.cat(list(images)).double().cpu()
    N, _, C = parts.shape
    if N < 2 or not parts[:, 1].any():
        return None
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(N, (_DRAWS, N), generator=generator)
    # How often each image was drawn: sums over the drawn images become one matrix product.
    times = torch.zeros(_DRAWS, N, dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones_like(drawn, dtype=torch.float64)
    )
    hits, labelled, predicted = (times @ parts.view(N, -1)).view(_DRAWS, 3, C).unbind(1)
    iou = 100 * hits / (labelled + predicted - hits)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    return [float(end) for end in torch.nanquantile(iou.nanmean(1), ends)]


def _present(values: Tensor, totals: Tensor) -> list[float | None]:
    """Return the values as a list, None where the total is 0."""
    found: list[float | None] = []
    for value, total in zip(values.tolist(), totals.tolist(), strict=True):
        found.append(value if total > 0 else None)
    return found


def _mean(values: Tensor) -> float | None:
    if not len(values):
        return None
    return values.mean().item()
