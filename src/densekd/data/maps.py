"""Images with a map of labels or values: samples augmented by number, and whole ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from densekd.data.cache import SampleCache
from densekd.data.contract import Files
from densekd.data.found import Item
from densekd.data.sampler import Draw
from densekd.memory import free_memory, local_processes

# What images are brought to: (height, width), or (the shorter side,) with the aspect ratio kept.
Resize = tuple[int, int] | tuple[int]


class MapFiles(Files, Protocol):
    """Files in which every image has a map of its own size: class numbers, depths, ..."""

    @property
    def items(self) -> Sequence[Item]:
        """Each image with the file of its map."""
        ...

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Decode an image, uint8 RGB ``[H, W, 3]``, and its map ``[H, W]``."""
        ...


class Sample(NamedTuple):
    """One image with its map.

    Shape:
        image: uint8 RGB ``[3, H, W]``; label: ``[H, W]`` in training, of the original size in
        evaluation; uint8 class numbers of a segmentation, float32 values of other tasks.
    """

    image: Tensor
    label: Tensor


class TrainingSet(Dataset[Sample]):
    """Augmented samples.

    Everything random in sample n comes from (seed, n), whoever draws it and whenever.

    Args:
        files: the images and maps.
        resize: what every image is first brought to, or None.
        augment: from an (Image, Mask) pair to the same of one fixed size.
        seed: of the augmentation.
        cache_bytes: decoded (and resized) samples are kept in each process up to this size.
    """

    def __init__(
        self, files: MapFiles, resize: Resize | None, augment: v2.Transform, seed: int, cache_bytes: int
    ) -> None:
        self.files = files
        self.resize = resize
        self.augment = augment
        self.seed = seed
        self.cache = SampleCache(Sample, cache_bytes)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def __getitem__(self, random_sample: Draw) -> Sample:
        """Return the augmented sample for one draw."""
        image, label = self.cache.get(random_sample.image, self._decode)
        with seeded(self.seed, random_sample.number):
            image, label = self.augment(tv_tensors.Image(image), tv_tensors.Mask(label))
        return Sample(image.as_subclass(Tensor).contiguous(), label.as_subclass(Tensor).contiguous())

    def _decode(self, index: int) -> Sample:
        pixels, values = self.files.pair(index)
        image, label = torch.from_numpy(pixels).permute(2, 0, 1), torch.from_numpy(values)
        if self.resize is not None:
            image = functional.resize(image, list(self.resize), antialias=True)
            # Between two labels there is no third, and between two depths at an edge is nothing.
            nearest = functional.InterpolationMode.NEAREST
            label = functional.resize(label[None], list(self.resize), interpolation=nearest)[0]
        return Sample(image, label)

    @staticmethod
    def collate(samples: list[Sample]) -> dict[str, Any]:
        """Make a batch; see :func:`as_batch`."""
        return as_batch(samples)


class EvaluationSet(Dataset[Sample]):
    """Whole images, resized for the model when it was trained at a fixed size.

    Their maps keep the original size.

    Args:
        files: the images and maps.
        resize: what the images are brought to, or None.
    """

    def __init__(self, files: MapFiles, resize: Resize | None) -> None:
        self.files = files
        self.resize = resize

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Return one image and its map."""
        image, label = self.files.pair(index)
        return Sample(to_model_input(image, self.resize), torch.from_numpy(label))

    @staticmethod
    def collate(samples: list[Sample]) -> list[Sample]:
        """Do nothing: images of one evaluation batch may differ in size."""
        return samples


def to_model_input(image: np.ndarray, resize: Resize | None) -> Tensor:
    """Turn a decoded image ``[H, W, 3]`` into uint8 ``[3, H', W']`` at the size the model was trained at."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    if resize is None:
        return tensor
    resized: Tensor = functional.resize(tensor, list(resize), antialias=True)
    return resized


def as_batch(samples: list[Sample]) -> dict[str, Any]:
    """Stack augmented samples: ``images`` uint8 ``[B, 3, H, W]``, ``target`` ``[B, H, W]`` as the maps are."""
    images = torch.stack([sample.image for sample in samples])
    return {"images": images, "target": torch.stack([sample.label for sample in samples])}


@contextmanager
def seeded(seed: int, number: int) -> Iterator[None]:
    """Seed torch's global generator, which transforms draw from, for one sample alone, and put it back after it."""
    # Of the processor alone: torch.manual_seed takes 0.2 ms, most of it for devices that draw nothing here.
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(mix(seed, number))
    try:
        yield
    finally:
        generator.set_state(state)


def mix(seed: int, number: int) -> int:
    """Hash (seed, number) to 64 bits, so that neighbouring numbers give unrelated random streams."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])


def cache_budget(setting: float | str, workers: int) -> int:
    """Return the bytes each loading process may keep: a setting in GB, ``off``, or ``auto``.

    ``auto`` is half of what is free on the machine, or below the limit of the container, shared by the
    processes of the training here. A number is what each of them may keep.

    Args:
        setting: the recipe's ``data.cache``.
        workers: loading processes of each process, which share its budget.
    """
    if setting == "off":
        return 0
    # Half of what is free now leaves room for models and batches.
    automatic = free_memory() // 2 // local_processes()
    total = automatic if setting == "auto" else int(float(setting) * 1e9)
    return total // max(1, workers)
