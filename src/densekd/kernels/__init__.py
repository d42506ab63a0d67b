"""Kernels: fused, memory-lean implementations of losses and layers behind plain functions.

A kernel computes what a formula in plain PyTorch computes, from the same inputs, with less memory
and fewer passes: the gradient in the forward pass, upsampled maps a block of rows at a time,
distributions by online softmax. The formula is ``<name>_reference`` beside it, or in its test.
Those on custom operators have a blocked body for the CPU (``cpu_blocked``) and a Triton kernel for
CUDA; ``using("reference")`` runs the formulas instead.
"""

from densekd.kernels.channel_kl import channel_kl
from densekd.kernels.dispatch import Kernels, using
from densekd.kernels.pixel_kl import pixel_kl
from densekd.kernels.resized_channel_kl import resized_channel_kl
from densekd.kernels.resized_cross_entropy import resized_cross_entropy
from densekd.kernels.resized_pixel_kl import resized_pixel_kl
from densekd.kernels.softmax_kl import soft_cross_entropy, softmax_kl
from densekd.ops.groups import Groups
from densekd.ops.interpolation import Upsample

__all__ = [
    "Groups",
    "Kernels",
    "Upsample",
    "channel_kl",
    "pixel_kl",
    "resized_channel_kl",
    "resized_cross_entropy",
    "resized_pixel_kl",
    "soft_cross_entropy",
    "softmax_kl",
    "using",
]
