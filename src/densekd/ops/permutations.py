"""Random permutations as a deterministic function of seeds that are on the device."""

import torch
from torch import Tensor

_LOW_32_BITS = 0xFFFFFFFF


def permutations(n: int, seeds: Tensor) -> Tensor:
    """Draw one permutation of ``0 .. n - 1`` per seed, ``[S, n]``, by sorting hashes.

    A function of the seeds alone, hence equal on every rank and device. A seeded generator would
    need the seed on the host and wait for the device.

    Args:
        n: length.
        seeds: int64 ``[S]``.
    """
    positions = torch.arange(n, device=seeds.device)
    # The seed is hashed on its own first: seeds that follow each other must not give shifted
    # permutations.
    hashes = _hashed(_hashed(seeds)[:, None] + positions)
    return hashes.argsort(dim=1, stable=True)


def _hashed(x: Tensor) -> Tensor:
    """Hash the low 32 bits of int64 numbers, by xor-shifts and multiplications."""
    x = x & _LOW_32_BITS
    # Both factors are below 2^31, so that no product of 32-bit numbers leaves int64.
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & _LOW_32_BITS
    x = ((x ^ (x >> 15)) * 0x735A2D97) & _LOW_32_BITS
    return x ^ (x >> 15)
