"""Score of mattes: mean absolute error (MAD) over all pixels."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from densekd.metric_names import MetricName, MetricNames

METRICS = MetricNames(
    names=(MetricName("mad", "MAD", unit="", better="lower", digits=4),),
    compared=("mad",),
    pictures="photographs",
)


class MattingMetric(nn.Module):
    """Sum of absolute errors and number of pixels, added up over images and processes."""

    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(2, dtype=torch.float64), persistent=False)

    def update(self, alpha: Tensor, truth: Tensor) -> None:
        """Add mattes ``[H, W]``, both in [0, 1]."""
        self.sums[0] += (alpha - truth).abs().sum().double()
        self.sums[1] += truth.numel()

    def reset(self) -> None:
        """Forget everything."""
        self.sums.zero_()

    def gather(self) -> None:
        """Add up the sums of all processes."""
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.sums)

    def compute(self) -> dict[str, Any]:
        """Return ``mad`` in [0, 1]; None of nothing."""
        error, pixels = self.sums.tolist()
        return {"mad": error / pixels if pixels else None}
