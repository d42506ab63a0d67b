"""Global context block (GCNet; Cao et al., ICCV Workshops 2019, arXiv 1904.11492)."""

import torch
from torch import Tensor, nn


class GlobalContext(nn.Module):
    """Global context of a map: ``out(relu(norm(inner(sum_p softmax_HW(mask(x))_p x_p))))``.

    The last convolution begins at zero, and so does the result.

    Args:
        channels: of the input; inside there are half as many.

    Shape: ``[B, C, H, W]`` -> ``[B, C, 1, 1]``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.mask = nn.Conv2d(channels, 1, 1)
        out = nn.Conv2d(inner, channels, 1)
        norm = nn.LayerNorm([inner, 1, 1])
        reduce = nn.Conv2d(channels, inner, 1)
        self.add = nn.Sequential(reduce, norm, nn.ReLU(inplace=True), out)
        nn.init.kaiming_normal_(self.mask.weight, nonlinearity="relu")
        for zero in (self.mask.bias, out.weight, out.bias):
            assert zero is not None
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's sum before it is added to the input."""
        # Attention pooling: one weighted sum over the positions of every image.
        share = self.mask(x).flatten(2).softmax(2)
        pooled = torch.bmm(x.flatten(2), share.mT)
        # Then a bottleneck of two 1x1 convolutions.
        context: Tensor = self.add(pooled[..., None])
        return context
