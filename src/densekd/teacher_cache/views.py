"""Views that can be replayed: what is random in view v of an image depends on (seed, image, v) alone."""

import hashlib
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from densekd.data.files import Source
from densekd.data.maps import MapFiles, Sample, TrainingSet, as_batch
from densekd.data.sampler import Draw
from densekd.errors import UserError
from densekd.teacher_cache.packing import Packed
from densekd.teacher_cache.store import Store


class AugmentedViews(Dataset[Sample]):
    """Every view of every image: number ``image * count + view``.

    Args:
        training: the augmented set; its seed is that of the views.
        count: views of each image.
    """

    def __init__(self, training: TrainingSet, count: int) -> None:
        self.training = training
        self.count = count

    def __len__(self) -> int:
        """Return the number of views of all images."""
        return len(self.training) * self.count

    def __getitem__(self, number: int) -> Sample:
        """Return one view."""
        return self.training[Draw(number // self.count, number)]

    def number(self, random_sample: Draw) -> int:
        """Return the view of a draw: pass after pass over the images takes the next one."""
        return random_sample.image * self.count + random_sample.number // len(self.training) % self.count


class CachedSample(NamedTuple):
    """A training sample and what the teacher said of it."""

    sample: Sample
    teacher_features: dict[str, Packed]


class CachedSamples(Dataset[CachedSample]):
    """Training samples with what the teacher said of them.

    Args:
        views: the samples.
        store: the complete cache.
    """

    def __init__(self, views: AugmentedViews, store: Store) -> None:
        self.views = views
        self.store = store

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.views.training)

    def __getitem__(self, random_sample: Draw) -> CachedSample:
        """Return the view of one draw.

        Raises:
            UserError: the image is not the one that the teacher saw.
        """
        number = self.views.number(random_sample)
        sample, entry = self.views[number], self.store[number]
        if checksum(sample.image) != entry.checksum:
            stem = self.views.training.files.items[random_sample.image].stem
            raise UserError(
                f"{self.store.folder}: the teacher saw another image where '{stem}' is now; the file or the way it is "
                "augmented has changed. Delete the folder to have it made anew."
            )
        return CachedSample(sample, entry.teacher_features)

    @staticmethod
    def collate(items: list[CachedSample]) -> dict[str, Any]:
        """Stack samples as ever, and beside them ``teacher_features``: the packed maps of each tap."""
        first = items[0].teacher_features
        teacher_features = {
            path: {name: torch.stack([item.teacher_features[path][name] for item in items]) for name in packed}
            for path, packed in first.items()
        }
        return as_batch([item.sample for item in items]) | {"taught": teacher_features}


def checksum(image: Tensor) -> int:
    """Return the CRC-32 of an image's bytes."""
    return zlib.crc32(image.contiguous().numpy().data)


def describe_files(files: MapFiles) -> str:
    """Return a digest of which images and labels there are, and how large; not of the folder they are in."""
    digest = hashlib.sha256()
    for item in files.items:
        digest.update(f"{item.stem}\0{_size(item.image)}\0{_size(item.label)}\n".encode())
    return digest.hexdigest()[:16]


def _size(source: Source) -> int | None:
    return source.stat().st_size if isinstance(source, Path) else None
