"""The memory of CIRKD: what earlier images, of all processes, showed of each class."""

import torch
from torch import Tensor, nn

from densekd.losses.cirkd.keys import ClassKeys
from densekd.losses.cirkd.queue import Draws, Queues
from densekd.losses.cirkd.shared import gathered, processes
from densekd.ops.permutations import permutations


class ClassMemory(nn.Module):
    """Two queues for each class, of pixels and of regions; equal on all processes, for they hold the keys of all.

    Args:
        keys: what an image adds.
        width: length D of a key.
        slots: of a class' queue of pixels and of regions.
        contrast: slots that are handed out: ``size // C + 1`` of each class.
    """

    def __init__(self, keys: ClassKeys, width: int, slots: tuple[int, int], contrast: tuple[int, int]) -> None:
        super().__init__()
        self.keys = keys
        self.draws = Draws()
        self.pixels, self.regions = (Queues(keys.num_classes, n, width) for n in slots)
        self.contrast = [size // keys.num_classes + 1 for size in contrast]

    def forward(self, features: Tensor, labels: Tensor) -> list[Tensor]:
        """In training remember the batch; return some remembered pixels and some regions, each ``[1, M, D]``.

        Args:
            features: unit vectors ``[B, P, D]``.
            labels: int64 ``[B, P]`` in ``0 .. C``; C is void.
        """
        B, P, _ = features.shape
        rank, world = processes()
        seeds = self.draws.seeds(world * B + 2)
        if self.training:
            self._remember(features, labels, permutations(P, seeds[rank * B : (rank + 1) * B]))
        drawn = zip((self.pixels, self.regions), self.contrast, seeds[-2:, None], strict=True)
        return [queues.bank(n, seed) for queues, n, seed in drawn]

    @torch.no_grad()
    def _remember(self, features: Tensor, labels: Tensor, shuffled: Tensor) -> None:
        """Enqueue image by image, in the order of ranks; only keys travel between processes, not feature maps."""
        for n, region, pixel in zip(*map(gathered, self.keys(features, labels, shuffled)), strict=True):
            self.regions.write(region[:, None], n.clamp(max=1))
            self.pixels.write(pixel, n.clamp(max=self.keys.update))
