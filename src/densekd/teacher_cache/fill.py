"""Filling the teacher cache: one forward of the frozen teacher for every augmented view."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from densekd.data.maps import Sample
from densekd.ops.finite import require_finite_output
from densekd.teacher_cache.packing import Packed, Packing
from densekd.teacher_cache.store import Store
from densekd.teacher_cache.views import AugmentedViews, checksum

Extract = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class CacheWriter:
    """Input of a teacher cache: views, the packing of each tap, and the loading of batches.

    Args:
        views: the augmented images.
        packings: how each tap is stored.
        batch: images in one forward of the teacher.
        workers: loading processes.
    """

    views: AugmentedViews
    packings: Mapping[str, Packing]
    batch: int
    workers: int

    def pack(self, teacher_features: Mapping[str, Tensor]) -> dict[str, Packed]:
        """Pack the tapped features of a batch and bring them to the CPU."""
        packed = {}
        for path, packing in self.packings.items():
            parts = packing.pack(teacher_features[path])
            packed[path] = {name: part.cpu() for name, part in parts.items()}
        return packed


@torch.no_grad()
def fill(store: Store, writer: CacheWriter, extract: Extract) -> Iterator[int]:
    """Write the shards that are missing; yield the number of entries as each is done.

    Args:
        store: the cache on disk.
        writer: the views and their packing.
        extract: forward of the teacher, from uint8 images ``[B, 3, H, W]`` to the tapped features.

    Raises:
        UserError: the disk is too small, or the teacher returns NaN or infinity; nothing was written then.
    """
    store.require_room()
    shards, batches = _plan(store, writer.batch)
    loader = DataLoader(writer.views, batch_sampler=batches, num_workers=writer.workers, collate_fn=_images)  # type: ignore[arg-type]
    # Batches come in the order of the shards, so that each shard is one run of batches.
    for shard, group in groupby(zip(shards, loader, strict=True), key=itemgetter(0)):
        checksums: list[int] = []
        packed: list[dict[str, Packed]] = []
        for _, images in group:
            checksums += [checksum(image) for image in images]
            # Libraries choose their kernels by the batch's size, so all batches are of one: a
            # shorter one is filled up with its last image, whose copies are dropped again.
            full = images[torch.arange(writer.batch).clamp(max=len(images) - 1)]
            features = {path: x[: len(images)] for path, x in extract(full).items()}
            for path, x in features.items():
                require_finite_output(x, f"{store.folder}: nothing is cached of this batch: the teacher's '{path}' is")
            packed.append(writer.pack(features))
        store.write(shard, torch.tensor(checksums), _concatenated(packed))
        yield len(checksums)


def _plan(store: Store, batch: int) -> tuple[list[int], list[range]]:
    """List the batches of all missing shards, as numbers of views, and the shard of each.

    No batch reaches over the end of a shard.
    """
    shards: list[int] = []
    batches: list[range] = []
    for shard in store.missing():
        entries = store.layout.shards[shard]
        for first in range(0, len(entries), batch):
            shards.append(shard)
            batches.append(entries[first : first + batch])
    return shards, batches


def _concatenated(packed: Sequence[Mapping[str, Packed]]) -> dict[str, Packed]:
    """Join the packed features of several batches, tap by tap and part by part."""
    joined: dict[str, Packed] = {}
    for path, parts in packed[0].items():
        joined[path] = {}
        for name in parts:
            joined[path][name] = torch.cat([one[path][name] for one in packed])
    return joined


def _images(samples: list[Sample]) -> Tensor:
    return torch.stack([sample.image for sample in samples])
