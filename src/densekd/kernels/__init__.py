"""Lean implementations behind plain functions; the plain formula is beside each or in its test."""

from densekd.kernels.channel_kl import channel_kl
from densekd.kernels.choice import Kernels, choose
from densekd.kernels.groups import Groups
from densekd.kernels.pixel_kl import pixel_kl
from densekd.kernels.resized_channel_kl import resized_channel_kl
from densekd.kernels.resized_cross_entropy import resized_cross_entropy
from densekd.kernels.resized_pixel_kl import resized_pixel_kl
from densekd.kernels.softmax_kl import soft_cross_entropy, softmax_kl
from densekd.ops.interpolation import Upsample

__all__ = [
    "Groups",
    "Kernels",
    "Upsample",
    "channel_kl",
    "choose",
    "pixel_kl",
    "resized_channel_kl",
    "resized_cross_entropy",
    "resized_pixel_kl",
    "soft_cross_entropy",
    "softmax_kl",
]
