"""Scores of depth maps: AbsRel, RMSE and delta1 (Eigen et al., arXiv 1406.2283), the mean over images."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

# Bootstrap samples of the confidence interval.
_DRAWS = 2000


class DepthMetric(nn.Module):
    """Mean over images of what each image's measured pixels score.

    An image without a measurement does not count.
    """

    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Of AbsRel, RMSE, delta1, and the number of images.
        self.register_buffer("sums", torch.zeros(4, dtype=torch.float64), persistent=False)
        self.images: list[Tensor] = []

    def update(self, depth: Tensor, truth: Tensor) -> None:
        """Add images.

        Args:
            depth: predicted, ``[B, H, W]``, > 0, in the unit of the truth.
            truth: ``[B, H, W]``, 0 where nothing was measured.
        """
        measured = truth > 0
        count = measured.sum((1, 2))
        some = (count > 0).double()
        count = count.clamp(min=1).double()
        # Where nothing was measured both maps are 1: no difference, and no ratio other than 1.
        one = torch.ones_like(truth)
        predicted, real = depth.where(measured, one).double(), truth.where(measured, one).double()
        # Every score of every image, from its own pixels.
        absrel = ((predicted - real).abs() / real).sum((1, 2)) / count
        rmse = ((predicted - real).square().sum((1, 2)) / count).sqrt()
        ratio = torch.maximum(predicted / real, real / predicted)
        delta1 = 100 * ((ratio < 1.25) & measured).sum((1, 2)) / count
        # An image without a measurement adds nothing, not even to the number of images.
        scores = torch.stack([absrel, rmse, delta1, some], 1) * some[:, None]
        self.sums += scores.sum(0)
        self.images.append(scores)

    def reset(self) -> None:
        """Forget everything."""
        self.sums.zero_()
        self.images.clear()

    def gather(self) -> None:
        """Add up the sums of all processes, each of which must call this; alone, do nothing."""
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.sums)

    def compute(self) -> dict[str, Any]:
        """Return ``absrel`` (a ratio), ``rmse`` (in the unit of the depths) and ``delta1`` (percent); None of nothing.

        ``absrel``: mean of ``|d - d*| / d*``. ``rmse``: root of the mean of ``(d - d*)^2``.
        ``delta1``: share of the pixels with ``max(d / d*, d* / d) < 1.25``. Each is the mean over
        images of that over an image's pixels.
        """
        *sums, images = self.sums.tolist()
        names = ("absrel", "rmse", "delta1")
        if not images:
            return dict.fromkeys(names)
        return {name: total / images for name, total in zip(names, sums, strict=True)}

    def interval(self, level: float = 0.95) -> list[float] | None:
        """Bootstrap AbsRel over the images of this process, 2000 times, seeded.

        The result is the two ends of the interval.

        Args:
            level: share of the draws between the two ends.

        Returns:
            Lower and upper end; None for fewer than two images with a measurement.
        """
        if not self.images:
            return None
        rows = torch.cat(self.images).cpu()
        values = rows[rows[:, 3] > 0, 0]
        if len(values) < 2:
            return None
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(len(values), (_DRAWS, len(values)), generator=generator)
        # The mean of each draw; the interval holds the middle of all means.
        ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
        return [float(end) for end in values[drawn].mean(1).quantile(ends)]
