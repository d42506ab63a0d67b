"""Adapters: learned modules that bring a student's feature to the teacher's channels.

``ADAPTERS`` maps a name to the class or function that builds one; your own:
``package.module:Name``. Its constructor
names what it wants to know of the two tensors: ``student_channels``, ``teacher_channels``, and,
    where all images have
one size, ``student_size`` and ``teacher_size`` (height, width). Everything else in it is an option
of a recipe.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def none() -> nn.Module:
    """Compare the student's feature as it is."""
    return nn.Identity()


def conv(student_channels: int, teacher_channels: int, bias: bool = False) -> nn.Module:
    """1x1 convolution to the teacher's channels (CIRKD).

    Args:
        student_channels: of the student's tap.
        teacher_channels: of the teacher's tap.
        bias: whether the convolution adds one.

    Shape:
        ``[B, student_channels, H, W]`` -> ``[B, teacher_channels, H, W]``.
    """
    return nn.Conv2d(student_channels, teacher_channels, 1, bias=bias)


def conv_bn_relu(student_channels: int, teacher_channels: int) -> nn.Module:
    """1x1 convolution to the teacher's channels, batch norm and ReLU (HWD).

    Args:
        student_channels: of the student's tap.
        teacher_channels: of the teacher's tap.

    Shape:
        ``[B, student_channels, H, W]`` -> ``[B, teacher_channels, H, W]``, >= 0.
    """
    return _conv_bn_relu(student_channels, teacher_channels)


class GraphContext(nn.Module):
    """Self-attention over all positions: the context block of CIRKDv2.

    ``out = ReLU(BN(W_2 [x, ReLU(BN(W_1 A v))]))`` with ``A = softmax(q k^T (C / 2)^-1/2)`` over
    positions and 1x1 convolutions q, k, v. The authors put it on the student's last features and
    give its output to every loss on them, FitNet's 1x1 convolution among them: ``adapter:
    graph-context``, or ``graph-context-conv``.

    Args:
        student_channels: C of the student's tap, even; the output has as many.

    Shape:
        ``[B, C, H, W]`` -> ``[B, C, H, W]``, >= 0.

    Raises:
        ValueError: an odd number of channels.
    """

    def __init__(self, student_channels: int) -> None:
        super().__init__()
        channels = student_channels
        if channels < 2 or channels % 2:
            raise ValueError(f"graph-context needs an even number of channels, got {channels}")
        half = channels // 2
        self.query = nn.Conv2d(channels, half, 1, bias=False)
        self.key = nn.Conv2d(channels, half, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.context = _conv_bn_relu(half, channels)
        self.fuse = _conv_bn_relu(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features that know of all positions."""
        B, _, H, W = x.shape
        # One head as wide as the projections: its scale is (C / 2)^-1/2.
        q, k, v = (_as_sequence(project(x)) for project in (self.query, self.key, self.value))
        # The fused attention keeps no matrix of positions x positions.
        attended = F.scaled_dot_product_attention(q, k, v)
        attended = attended[:, 0].mT.reshape(B, -1, H, W)
        # The block's input goes on beside its context.
        fused: Tensor = self.fuse(torch.cat([x, self.context(attended)], 1))
        return fused


def graph_context_conv(student_channels: int, teacher_channels: int) -> nn.Module:
    """Self-attention over all positions (CIRKDv2), then a 1x1 convolution.

    Args:
        student_channels: of the student's tap, even.
        teacher_channels: of the teacher's tap.

    Shape:
        ``[B, student_channels, H, W]`` -> ``[B, teacher_channels, H, W]``.
    """
    return nn.Sequential(GraphContext(student_channels), conv(student_channels, teacher_channels))


ADAPTERS: dict[str, Callable[..., nn.Module]] = {
    "none": none,
    "conv": conv,
    "conv-bn-relu": conv_bn_relu,
    "graph-context": GraphContext,
    "graph-context-conv": graph_context_conv,
}

CONTEXT = "graph-context"
# Adapters that begin with a graph context, and the adapter that follows it: all terms of a recipe
# on one tap share the context, as CIRKDv2's losses do, and each has the rest for itself.
AFTER_CONTEXT = {CONTEXT: "none", f"{CONTEXT}-conv": "conv"}


def _as_sequence(x: Tensor) -> Tensor:
    """Turn a map ``[B, C, H, W]`` into a sequence with one attention head, ``[B, 1, H * W, C]``."""
    return x.flatten(2).mT[:, None]


def _conv_bn_relu(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
