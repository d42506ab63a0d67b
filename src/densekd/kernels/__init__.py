"""Lean implementations behind plain functions; the plain formula is beside each or in its test."""

from densekd.kernels.softmax_kl import softmax_kl

__all__ = ["softmax_kl"]
