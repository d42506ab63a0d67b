"""Let the teacher look at every view once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from densekd.data.maps import Sample
from densekd.teacher_cache.packing import Packed, Packing
from densekd.teacher_cache.store import Store
from densekd.teacher_cache.views import AugmentedViews, checksum

Look = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class CacheWriter:
    """What a cache is filled from.

    Args:
        views: the images.
        packings: how each tap is stored.
        batch: images that the teacher looks at together.
        workers: loading processes.
    """

    views: AugmentedViews
    packings: Mapping[str, Packing]
    batch: int
    workers: int

    def pack(self, teacher_features: Mapping[str, Tensor]) -> dict[str, Packed]:
        """Pack the tapped maps of a batch, for the host."""
        return {
            path: {name: part.cpu() for name, part in packing.pack(teacher_features[path]).items()}
            for path, packing in self.packings.items()
        }


@torch.no_grad()
def fill(store: Store, filling: CacheWriter, look: Look) -> Iterator[int]:
    """Write the shards that are missing; yield the number of entries as each is done.

    Args:
        store: where to.
        filling: what of.
        look: from uint8 images ``[B, 3, H, W]`` to the tapped maps.

    Raises:
        UserError: the disk is too small; nothing was written then.
    """
    store.require_room()
    shards = store.layout.shards
    # No batch reaches over the end of a shard.
    batches = [
        (k, shards[k][i : i + filling.batch]) for k in store.missing() for i in range(0, len(shards[k]), filling.batch)
    ]
    numbers, entries = [k for k, _ in batches], [some for _, some in batches]
    loader = DataLoader(filling.views, batch_sampler=entries, num_workers=filling.workers, collate_fn=_images)  # type: ignore[arg-type]
    for shard, some in groupby(zip(numbers, loader, strict=True), key=itemgetter(0)):
        sums: list[int] = []
        packed: list[dict[str, Packed]] = []
        for _, images in some:
            sums += [checksum(image) for image in images]
            # Libraries choose their kernels by the batch's size, so all batches are of one.
            full = images[torch.arange(filling.batch).clamp(max=len(images) - 1)]
            packed.append(filling.pack({path: x[: len(images)] for path, x in look(full).items()}))
        joined = {
            path: {name: torch.cat([one[path][name] for one in packed]) for name in parts}
            for path, parts in packed[0].items()
        }
        store.write(shard, torch.tensor(sums), joined)
        yield len(sums)


def _images(samples: list[Sample]) -> Tensor:
    return torch.stack([sample.image for sample in samples])
