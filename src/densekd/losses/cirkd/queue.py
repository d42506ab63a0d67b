"""What the memories of the CIRKD losses are made of: queues, and draws that are equal on every rank."""

import torch
from torch import Tensor, nn

from densekd.ops.permutations import permutations
from densekd.ops.unit import unit


class Queues(nn.Module):
    """Several queues of unit vectors, filled with noise at first as released.

    Args:
        count: number of queues Q.
        slots: length S of each.
        width: length D of a key.
    """

    keys: Tensor
    pointer: Tensor

    def __init__(self, count: int, slots: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", unit(torch.randn(count, slots, width), 2))
        self.register_buffer("pointer", torch.zeros(count, dtype=torch.int64))

    @torch.no_grad()
    def write(self, keys: Tensor, count: Tensor) -> None:
        """Write in each queue its first ``count`` keys at its pointer.

        Where they reach the end they fill the last slots and the pointer returns to 0, as released.

        Args:
            keys: ``[Q, K, D]`` with ``K <= S``.
            count: int64 ``[Q]``, in ``0 .. K``.
        """
        Q, S, _ = self.keys.shape
        full = self.pointer + count >= S
        k = torch.arange(keys.shape[1], device=keys.device)
        # K distinct slots; those beyond the count are rewritten with what they hold, so that every shape is fixed.
        slots = (torch.where(full, S - count, self.pointer)[:, None] + k) % S
        queues = torch.arange(Q, device=keys.device)[:, None]
        fresh = (k < count[:, None])[..., None]
        self.keys[queues, slots] = keys.to(self.keys.dtype).where(fresh, self.keys[queues, slots])
        self.pointer.copy_(torch.where(full, 0, self.pointer + count))

    def write_some(self, keys: Tensor, n: int, seed: Tensor) -> None:
        """Write ``n`` of ``keys`` ``[K, D]``, at most all of them, drawn without replacement; there is one queue."""
        chosen = keys[permutations(len(keys), seed)[0, :n]]
        self.write(chosen[None], seed.new_full((1,), len(chosen)))

    def bank(self, n: int, seed: Tensor) -> Tensor:
        """Return a copy ``[1, Q n, D]`` of ``n`` slots, the same in every queue, queue after queue.

        Args:
            n: how many; all where the queues have fewer.
            seed: int64 ``[1]``, of the draw.
        """
        slots = permutations(self.keys.shape[1], seed)[0, :n]
        return self.keys[:, slots].flatten(0, 1)[None]


class Draws(nn.Module):
    """A counter that hands out seeds: part of the state, so that a resumed training draws what it would have drawn."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.randint(2**31, ()))

    def seeds(self, n: int) -> Tensor:
        """Return the next ``n`` seeds, int64; in evaluation mode the same ones at every call."""
        seeds = self.count + torch.arange(n, device=self.count.device)
        if self.training:
            self.count.add_(n)
        return seeds
