"""Non-local block (Wang et al., CVPR 2018, arXiv 1711.07971, eq. 1 with a dot product)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NonLocal(nn.Module):
    """Non-local block ``x + norm(out(1 / M * sum_m (theta(x) . phi(x)_m) g(x)_m))``.

    The sum is over M max-pooled positions m. A dot product without softmax is associative: the sum
    over m comes first, and no matrix of positions by positions is ever made. The norm's weight
    begins at zero: the block begins as the identity.

    Args:
        channels: of the input.
        reduction: theta, phi and g have ``channels // reduction`` channels.
        stride: of the max-pooling; 1 for none. A window larger than the map shrinks to it.

    Shape: ``[B, C, H, W]`` -> the same.
    """

    def __init__(self, channels: int, reduction: int, stride: int) -> None:
        super().__init__()
        inner = max(channels // reduction, 1)
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1, bias=False)
        # Always the batch's statistics: a loss is only ever called to train.
        self.norm = nn.BatchNorm2d(channels, track_running_stats=False)
        nn.init.zeros_(self.norm.weight)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus what the other positions add."""
        B, _, H, W = x.shape
        # One value per channel has no spread to normalize by.
        if B * H * W == 1:
            return x
        window = (min(self.stride, H), min(self.stride, W))
        phi = F.max_pool2d(self.phi(x), window).flatten(2)
        g = F.max_pool2d(self.g(x), window).flatten(2)
        # Around the sum all is linear in x: one matrix per image, instead of maps of theta and of
        # what it gathers.
        before = self.out.weight.flatten(1) @ (g @ phi.mT / phi.shape[2])
        assert self.theta.bias is not None
        matrix = before @ self.theta.weight.flatten(1)
        offset = before @ self.theta.bias[:, None]
        added = torch.baddbmm(offset, matrix, x.flatten(2)).view(x.shape)
        return x + self.norm(added)  # type: ignore[no-any-return]
