"""Augmented views of the training images: fixed by (seed, image, view), so that features can be cached."""

import hashlib
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from densekd.data.found import Source
from densekd.data.maps import MapFiles, Sample, TrainingSet, as_batch
from densekd.data.sampler import Draw
from densekd.errors import UserError
from densekd.teacher_cache.packing import Packed
from densekd.teacher_cache.store import Store


class AugmentedViews(Dataset[Sample]):
    """All views of all images: view v of image i has the number ``i * count + v``.

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
        # The number of the view seeds the augmentation, as that of a sample does in training.
        return self.training[Draw(number // self.count, number)]

    def number(self, draw: Draw) -> int:
        """Return the view of a draw: epoch after epoch takes the next one of each image."""
        # The order of the images is the sampler's; which epoch a draw is in decides the view.
        epoch = draw.number // len(self.training)
        return draw.image * self.count + epoch % self.count


class CachedSample(NamedTuple):
    """A training sample and the packed teacher features of its view."""

    sample: Sample
    teacher_features: dict[str, Packed]


class CachedSamples(Dataset[CachedSample]):
    """Training samples with the teacher features that were cached for them.

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

    def __getitem__(self, draw: Draw) -> CachedSample:
        """Return the view of one draw.

        Raises:
            UserError: the image is not the one whose features were cached.
        """
        number = self.views.number(draw)
        sample = self.views[number]
        entry = self.store[number]
        # Another file, another decoder or another augmentation would pair an image with features
        # of a different one, silently.
        if checksum(sample.image) != entry.checksum:
            stem = self.views.training.files.items[draw.image].stem
            raise UserError(
                f"{self.store.folder}: the teacher saw another image where '{stem}' is now; the file or the way it is "
                "augmented has changed. Delete the folder to have it made anew."
            )
        return CachedSample(sample, entry.teacher_features)

    @staticmethod
    def collate(items: list[CachedSample]) -> dict[str, Any]:
        """Stack samples as ever, and beside them ``teacher_features``: packed, of each tap."""
        teacher_features: dict[str, Packed] = {}
        for path, packed in items[0].teacher_features.items():
            teacher_features[path] = {}
            for name in packed:
                parts = [item.teacher_features[path][name] for item in items]
                teacher_features[path][name] = torch.stack(parts)
        return as_batch([item.sample for item in items]) | {"teacher_features": teacher_features}


def checksum(image: Tensor) -> int:
    """Return the CRC-32 of an image's bytes."""
    return zlib.crc32(image.contiguous().numpy().data)


def describe_files(files: MapFiles) -> str:
    """Digest of the images and labels of a split: names and sizes, not the folder they are in."""
    # Contents are not read here: an image that changed is found by its checksum in training.
    digest = hashlib.sha256()
    for item in files.items:
        digest.update(f"{item.stem}\0{_size(item.image)}\0{_size(item.label)}\n".encode())
    return digest.hexdigest()[:16]


def _size(source: Source) -> int | None:
    return source.stat().st_size if isinstance(source, Path) else None
