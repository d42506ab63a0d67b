"""Memory banks of CIRKD: first-in first-out queues of unit vectors, equal on every process."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from densekd.ops.permutations import permutations
from densekd.ops.processes import gather_over_processes, rank_and_world_size
from densekd.ops.unit import unit

Enqueue = Literal["class", "as_released"]


class MemoryBank(nn.Module):
    """First-in first-out queues of unit vectors, filled with noise at first as released.

    Args:
        count: number of queues Q.
        slots: length S of each.
        width: length D of a vector.
    """

    keys: Tensor
    pointer: Tensor

    def __init__(self, count: int, slots: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", unit(torch.randn(count, slots, width), 2))
        self.register_buffer("pointer", torch.zeros(count, dtype=torch.int64))

    @torch.no_grad()
    def write(self, keys: Tensor, count: Tensor) -> None:
        """Enqueue, in each queue, its first ``count`` vectors at its pointer.

        Where they reach the end they fill the last slots and the pointer returns to 0, as released.

        Args:
            keys: ``[Q, K, D]`` with ``K <= S``.
            count: int64 ``[Q]``, in ``0 .. K``.
        """
        Q, S, _ = self.keys.shape
        # Which queues would run over their end.
        full = self.pointer + count >= S
        k = torch.arange(keys.shape[1], device=keys.device)
        # K distinct slots; those beyond the count are rewritten with what they hold, so that every
        # shape is fixed and nothing waits for the device.
        first = torch.where(full, S - count, self.pointer)
        slots = (first[:, None] + k) % S
        queues = torch.arange(Q, device=keys.device)[:, None]
        fresh = (k < count[:, None])[..., None]
        self.keys[queues, slots] = keys.to(self.keys.dtype).where(fresh, self.keys[queues, slots])
        self.pointer.copy_(torch.where(full, 0, self.pointer + count))

    def write_sample(self, keys: Tensor, n: int, seed: Tensor) -> None:
        """Enqueue ``n`` of ``keys [K, D]``, or all, without replacement; there is one queue."""
        chosen = keys[permutations(len(keys), seed)[0, :n]]
        self.write(chosen[None], seed.new_full((1,), len(chosen)))

    def sample(self, n: int, seed: Tensor) -> Tensor:
        """Return a copy ``[1, Q n, D]`` of ``n`` slots, the same in every queue, queue after queue.

        Args:
            n: how many; all where the queues have fewer.
            seed: int64 ``[1]``.
        """
        slots = permutations(self.keys.shape[1], seed)[0, :n]
        return self.keys[:, slots].flatten(0, 1)[None]


class SeedCounter(nn.Module):
    """Counter that hands out random seeds, equal on every process.

    It is part of the state, so that a resumed training samples what it would have sampled.
    """

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


@dataclass(frozen=True)
class ClassSampler:
    """Sample what an image adds to a memory bank: pixels of its classes, and region means.

    Args:
        num_classes: C; label C is void.
        update: pixels of each class at most, n.
        enqueue: see :class:`densekd.losses.cirkd.memory.CIRKDMemory`.
    """

    num_classes: int
    update: int
    enqueue: Enqueue

    def __call__(self, features: Tensor, labels: Tensor, shuffled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return counts, regions and pixels of each class.

        These are the number of its pixels ``[B, C]`` (int64), their mean of unit length
        ``[B, C, D]``, and a sample of them ``[B, C, n, D]``. Where a class has fewer than n pixels,
        what follows them means nothing.

        Args:
            features: ``[B, P, D]``.
            labels: int64 ``[B, P]`` in ``0 .. C``.
            shuffled: a permutation of the pixels of each image, ``[B, P]``.
        """
        B, _, D = features.shape
        C = self.num_classes
        classes = torch.arange(C, device=labels.device)[:, None]
        member = (labels[:, None] == classes).to(features.dtype)
        count = member.sum(2).long()
        # Regions: the sum over a class is a product with its members.
        regions = unit(member @ features, 2)
        # Pixels: one gather for the samples of all classes.
        positions = self._positions(labels, count, shuffled)[..., None].expand(-1, -1, D)
        pixels = features.gather(1, positions).view(B, C, self.update, D)
        return count, regions, pixels

    def _positions(self, labels: Tensor, count: Tensor, shuffled: Tensor) -> Tensor:
        """Return positions ``[B, C n]`` of pixels of every class, without replacement."""
        P = labels.shape[1]
        n = self.update
        # Where the pixels of a class begin when all pixels are sorted by their class.
        first = count.cumsum(1) - count
        places = first[..., None] + torch.arange(n, device=labels.device)
        places = places.clamp(max=P - 1).flatten(1)
        # A stable sort keeps the shuffled order within a class.
        by_class = labels.gather(1, shuffled).argsort(dim=1, stable=True)
        chosen = shuffled.gather(1, by_class).gather(1, places)
        if self.enqueue == "class":
            return chosen
        # As released: the number of a pixel within its class is taken for a position in the map.
        rank = labels.argsort(dim=1, stable=True).argsort(1)
        number = rank.gather(1, chosen) - first.repeat_interleave(n, 1)
        return number.clamp(min=0)


@dataclass(frozen=True)
class BankSize:
    """Size of a memory bank of classes.

    Args:
        slots: remembered vectors of each class.
        compared: vectors that are sampled: ``compared // C + 1`` of each class.
    """

    slots: int
    compared: int


class ClassMemory(nn.Module):
    """Two memory banks with a queue for each class, of pixels and of regions.

    They are equal on all processes, for they hold what the images of all of them add.

    Args:
        sampler: what an image adds.
        width: length D of a vector.
        pixels: size of the bank of pixels.
        regions: size of the bank of regions.
    """

    def __init__(self, sampler: ClassSampler, width: int, pixels: BankSize, regions: BankSize) -> None:
        super().__init__()
        C = sampler.num_classes
        self.sampler = sampler
        self.draws = SeedCounter()
        self.pixels = MemoryBank(C, pixels.slots, width)
        self.regions = MemoryBank(C, regions.slots, width)
        self.pixel_samples = pixels.compared // C + 1
        self.region_samples = regions.compared // C + 1

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """In training remember the batch; return a sample of pixels and one of regions.

        Args:
            features: unit vectors ``[B, P, D]``.
            labels: int64 ``[B, P]`` in ``0 .. C``; C is void.

        Returns:
            pixels and regions, each ``[1, M, D]``.
        """
        B, P, _ = features.shape
        rank, world = rank_and_world_size()
        # One seed for each image of every process, and one for each of the two samples.
        seeds = self.draws.seeds(world * B + 2)
        if self.training:
            own = seeds[rank * B : (rank + 1) * B]
            self._remember(features, labels, permutations(P, own))
        pixels = self.pixels.sample(self.pixel_samples, seeds[-2:-1])
        regions = self.regions.sample(self.region_samples, seeds[-1:])
        return pixels, regions

    @torch.no_grad()
    def _remember(self, features: Tensor, labels: Tensor, shuffled: Tensor) -> None:
        """Enqueue image by image, in the order of ranks."""
        count, regions, pixels = self.sampler(features, labels, shuffled)
        # Only sampled vectors travel between processes, not feature maps.
        count = gather_over_processes(count)
        regions = gather_over_processes(regions)
        pixels = gather_over_processes(pixels)
        for n, region, pixel in zip(count, regions, pixels, strict=True):
            self.regions.write(region[:, None], n.clamp(max=1))
            self.pixels.write(pixel, n.clamp(max=self.sampler.update))
