"""Distributed batch sampler: the order of the data as a pure function of the seed and the step."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """The ``number``-th sample of a training, which reads the dataset's image number ``image``."""

    image: int
    number: int


class Shard(NamedTuple):
    """Rank of this process, and the number of processes (world size)."""

    rank: int = 0
    world: int = 1


ONE_PROCESS = Shard()


class StepSampler(Sampler[list[Draw]]):
    """Distributed batch sampler for a number of steps: shuffled epochs without a seam.

    Batch k of all processes together is samples ``k * batch_size`` to ``(k + 1) * batch_size - 1``
    of one stream, whatever the number of processes; a resumed training continues the stream because
    nothing in it depends on the past. Deterministic.

    Args:
        images: size of the dataset.
        batch_size: samples of all processes together; a multiple of ``shard.world``.
        batches: how many.
        seed: of the order.
        shard: this process.
        first: number of the batch to begin with: those that were done before an interruption.

    Raises:
        ValueError: a batch that does not divide among the processes.
    """

    def __init__(self, images: int, batch_size: int, batches: int, seed: int, shard: Shard, first: int = 0) -> None:
        if batch_size % shard.world:
            raise ValueError(f"a batch of {batch_size} does not divide among {shard.world} processes")
        self.images = images
        self.batch_size = batch_size
        self.batches = batches
        self.seed = seed
        self.shard = shard
        self.first = first

    def __len__(self) -> int:
        """Return the number of batches that are left."""
        return max(0, self.batches - self.first)

    def after(self, batches: int) -> "StepSampler":
        """Return the sampler of the rest of the training, when so many of its batches are done."""
        return StepSampler(self.images, self.batch_size, self.batches, self.seed, self.shard, batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield this process's part of each batch."""
        current = -1
        order = torch.empty(0)
        for batch in range(self.first, self.batches):
            # The processes take turns: rank r has samples r, r + world, r + 2 * world, ...
            first = batch * self.batch_size + self.shard.rank
            end = (batch + 1) * self.batch_size
            draws = []
            for number in range(first, end, self.shard.world):
                epoch, position = divmod(number, self.images)
                # A batch may reach over the end of an epoch: its last samples come from the next.
                if epoch != current:
                    current = epoch
                    order = self._order(epoch)
                draws.append(Draw(int(order[position]), number))
            yield draws

    def _order(self, epoch: int) -> torch.Tensor:
        """Shuffle the images, in each epoch anew and in all processes alike."""
        # The factor keeps (seed, epoch) of one training apart from those of the next seed.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(self.images, generator=generator)
