"""Random orders that are functions of seeds on the device."""

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF


def permutations(n: int, seeds: Tensor) -> Tensor:
    """Draw one permutation of ``0 .. n - 1`` per seed, ``[len(seeds), n]``, by sorting hashes of (seed, position).

    A function of the seeds alone, hence equal on every rank and device. A seeded generator would need the seed on the
    host and wait for the device.

    Args:
        n: length.
        seeds: int64 ``[S]``.
    """
    positions = torch.arange(n, device=seeds.device)
    return _hashed(_hashed(seeds)[:, None] + positions).argsort(dim=1, stable=True)


def _hashed(x: Tensor) -> Tensor:
    """Mix the low 32 bits; both factors are below 2^31, so that no product leaves int64."""
    x = x & _LOW
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & _LOW
    x = ((x ^ (x >> 15)) * 0x735A2D97) & _LOW
    return x ^ (x >> 15)
