"""What stands between a student's tap and a loss where a 1x1 convolution is not enough."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GraphContext(nn.Module):
    """Let every position look at all others: the context block of CIRKDv2, used during training alone.

    ``out = ReLU(BN(W_2 [x, ReLU(BN(W_1 A v))]))`` with ``A = softmax(q k^T (C / 2)^-1/2)`` over positions and 1x1
    convolutions q, k, v. The authors put it on the student's last features and give its output to every loss on them,
    FitNet's 1x1 convolution among them: ``adapter: graph-context``, or ``graph-context-conv``.

    Args:
        channels: C of the student's tap, even; the output has as many.

    Shape:
        ``[B, C, H, W]`` -> ``[B, C, H, W]``, >= 0.

    Raises:
        ValueError: an odd number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 2 or channels % 2:
            raise ValueError(f"graph-context needs an even number of channels, got {channels}")
        half = channels // 2
        self.query, self.key, self.value = (nn.Conv2d(channels, half, 1, bias=False) for _ in range(3))
        self.context = _conv_bn_relu(half, channels)
        self.fuse = _conv_bn_relu(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features that know of each other."""
        # One head as wide as the projections: its scale is (C / 2)^-1/2, and no positions x positions matrix is kept.
        q, k, v = (conv(x).flatten(2).mT[:, None] for conv in (self.query, self.key, self.value))
        attended = F.scaled_dot_product_attention(q, k, v)[:, 0].mT.reshape(len(x), -1, *x.shape[2:])
        fused: Tensor = self.fuse(torch.cat([x, self.context(attended)], 1))
        return fused


def _conv_bn_relu(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
