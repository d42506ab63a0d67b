"""Layers of a self-attention GAN's discriminator (critic), spectrally normalized (arXiv 1805.08318,
eqs. 1 to 3; arXiv 1802.05957, alg. 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-12


class SpectralConv(nn.Module):
    """Spectrally normalized 4x4 convolution of stride 2: ``weight / sigma``.

    sigma = u . W v estimates the largest singular value of W. One power iteration per training
    forward: ``v = W^T u / |W^T u|``, ``u = W v / |W v|``; the gradient flows through sigma with that
    forward's u and v held constant. Evaluation uses the remembered pair and changes nothing.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.

    Shape:
        ``[B, inputs, H, W]`` -> ``[B, outputs, H // 2, W // 2]``.
    """

    u: Tensor
    v: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
        assert conv.bias is not None
        self.weight = conv.weight
        self.bias = conv.bias
        self.register_buffer("u", torch.randn(outputs))
        self.register_buffer("v", torch.zeros(16 * inputs))
        self._iterate()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if self.training:
            self._iterate()
        # Copies: the next forward may overwrite the buffers before this one's backward reads them.
        u = self.u.clone()
        v = self.v.clone()
        sigma = u @ (self.weight.flatten(1) @ v)
        return F.conv2d(x, self.weight / sigma, self.bias, stride=2, padding=1)

    @torch.no_grad()
    def _iterate(self) -> None:
        """Take one step of the power iteration (alg. 1)."""
        matrix = self.weight.flatten(1)
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0, eps=EPS))
        self.u.copy_(F.normalize(matrix @ self.v, dim=0, eps=EPS))


class SelfAttention(nn.Module):
    """Self-attention over the positions of a map, added to it.

    ``gamma * sum_j softmax_j(query_i . key_j) value_j + x_i``; gamma starts at 0.

    Args:
        channels: a multiple of 8.

    Shape:
        ``[B, channels, H, W]`` -> the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        # Plain products: the fused attention kernels cannot be differentiated twice, which a
        # gradient penalty needs.
        similarities = self.query(x).flatten(2).mT @ self.key(x).flatten(2)
        # eq. 1: how much each position attends to every other; eq. 2: what it gathers there.
        shares = similarities.softmax(-1)
        attended: Tensor = self.value(x).flatten(2) @ shares.mT
        # eq. 3.
        return self.gamma * attended.view(x.shape) + x
