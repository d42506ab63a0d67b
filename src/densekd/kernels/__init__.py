"""Lean implementations behind plain functions; the plain formula is beside each or in its test."""

from densekd.kernels.channel_kl import Groups, channel_kl
from densekd.kernels.choice import Kernels, choose
from densekd.kernels.pixel_kl import pixel_kl
from densekd.kernels.softmax_kl import soft_cross_entropy, softmax_kl

__all__ = ["Groups", "Kernels", "channel_kl", "choose", "pixel_kl", "soft_cross_entropy", "softmax_kl"]
