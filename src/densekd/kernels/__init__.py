"""Fused implementations behind plain functions, each beside its plain-PyTorch reference."""

from densekd.kernels.softmax_kl import softmax_kl

__all__ = ["softmax_kl"]
