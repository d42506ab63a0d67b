"""Images and their boxes: what dataset functions return, and what the loaders read."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from densekd.data.annotations import Annotations, training_boxes
from densekd.data.cache import SampleCache
from densekd.data.classes import Classes
from densekd.data.files import all_notes, read_image
from densekd.data.found import Source
from densekd.data.maps import seeded
from densekd.data.numbering import Numbering
from densekd.data.picture import RGB, Bands
from densekd.data.sampler import Draw
from densekd.data.transforms import MEAN_COLOR, Limits, limited_size
from densekd.errors import UserError

# Batches are padded to multiples of it, the coarsest stride of the backbones.
STRIDE = 32


class DetectionItem(NamedTuple):
    """One image: its name, where its bytes are, its number in results files, (height, width) and its boxes."""

    stem: str
    image: Source
    number: int
    size: tuple[int, int]
    truth: Annotations


@dataclass(frozen=True)
class DetectionFiles:
    """The images of one split.

    Args:
        classes: names and colors.
        items: in the order of their numbers.
        categories: the number of each class in results files (COCO's category id).
        notes: what people should know of the files, a sentence each.
        bands: that are read of the images, see :func:`densekd.data.picture.decode_bands`; 3: RGB.
    """

    task: ClassVar[str] = "detection"
    holds: ClassVar[str] = "boxes"
    # An image without boxes is labelled too: as background.
    labels: ClassVar[Literal["present", "absent"]] = "present"

    classes: Classes
    items: Sequence[DetectionItem]
    categories: tuple[int, ...]
    notes: tuple[str, ...] = ()
    bands: Bands = RGB

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.items)

    def image(self, index: int) -> np.ndarray:
        """Decode an image: uint8 RGB ``[H, W, 3]``.

        It is turned as its EXIF orientation says, unless its stored pixels alone have the size that
        the annotations say.

        Raises:
            UserError: a damaged or unreadable file, or one of another size than the annotations
                say.
        """
        item = self.items[index]
        image = read_image(item.image, item.size, self.bands)
        if image.shape[:2] != item.size:
            (height, width), (H, W) = item.size, image.shape[:2]
            raise UserError(
                f"{item.image} is {W} x {H} pixels, but its annotations say {width} x {height}. "
                "Boxes are measured in pixels: annotate the image as it is, or bring the annotated "
                "one back."
            )
        return image

    def join(self, others: "Sequence[DetectionFiles]") -> "DetectionFiles":
        """Return these images and those of other splits, numbered anew from 1 where two splits share a number.

        Raises:
            UserError: splits that do not share their classes.
        """
        # Results name classes by their numbers, which must mean the same in all splits.
        items = list(self.items)
        for other in others:
            if (other.classes.names, other.categories) != (self.classes.names, self.categories):
                raise UserError(
                    f"the parts have different classes ({', '.join(self.classes.names)}; "
                    f"{', '.join(other.classes.names)}) and cannot be joined."
                )
            items += other.items
        # Scores know an image by its number alone.
        if len({item.number for item in items}) < len(items):
            items = [item._replace(number=k) for k, item in enumerate(items, 1)]
        items.sort(key=lambda item: item.number)
        return replace(self, items=tuple(items), notes=all_notes(self, others))

    def renumber(self, numbering: Numbering) -> "DetectionFiles":
        """Return these images with labels of other numbers, see :mod:`densekd.data.class_order`."""
        numbers = np.array(numbering.numbers, np.int64)
        items = []
        for item in self.items:
            truth = item.truth._replace(labels=numbers[item.truth.labels])
            items.append(item._replace(truth=truth))
        # The other side's numbers in results; where it says none, the files' own in the new order.
        categories = numbering.categories
        if not categories:
            own = dict(zip(numbering.numbers, self.categories, strict=True))
            categories = tuple(own.get(c, c) for c in range(len(numbering.classes.names)))
        return replace(self, classes=numbering.classes, items=tuple(items), categories=categories)


class DetectionSample(NamedTuple):
    """One augmented image with what is learnt of it.

    Shape:
        image: uint8 RGB ``[3, H, W]``; boxes: float32 ``[N, 4]`` in pixels of the image; labels:
            int64 ``[N]``.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor


class EvaluationSample(NamedTuple):
    """One whole image, uint8 RGB ``[3, H, W]`` at the size a model sees, and what it is."""

    image: Tensor
    item: DetectionItem


class DetectionTrainingSet(Dataset[DetectionSample]):
    """Augmented samples.

    Everything random in sample n comes from (seed, n), whoever draws it and whenever.

    Images without boxes stay: a detector learns background from them.

    Args:
        files: the images and boxes.
        resize: limits that every image is first brought to, or None, as where the augmentation
            draws them.
        augment: from (Image, {"boxes": BoundingBoxes, "labels": Tensor}) to the same.
        seed: of the augmentation.
        cache_bytes: decoded (and resized) samples are kept in each process up to this size.
    """

    def __init__(
        self, files: DetectionFiles, resize: Limits | None, augment: v2.Transform, seed: int, cache_bytes: int
    ) -> None:
        self.files = files
        self.resize = resize
        self.augment = augment
        self.seed = seed
        self.cache = SampleCache(DetectionSample, cache_bytes)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def __getitem__(self, random_sample: Draw) -> DetectionSample:
        """Return the augmented sample for one draw."""
        image, boxes, labels = self.cache.get(random_sample.image, self._decode)
        size = (image.shape[-2], image.shape[-1])
        framed = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
        with seeded(self.seed, random_sample.number):
            image, truth = self.augment(tv_tensors.Image(image), {"boxes": framed, "labels": labels})
        boxes, labels = truth["boxes"].as_subclass(Tensor), truth["labels"]
        return DetectionSample(image.as_subclass(Tensor).contiguous(), boxes.contiguous(), labels)

    def _decode(self, index: int) -> DetectionSample:
        item = self.files.items[index]
        image = to_detector_input(self.files.image(index), self.resize)
        # What is learned, in pixels of the resized image.
        boxes, labels = map(torch.from_numpy, training_boxes(item.truth, item.size))
        (height, width), (H, W) = item.size, image.shape[-2:]
        return DetectionSample(image, boxes * torch.tensor([W / width, H / height] * 2), labels)

    @staticmethod
    def collate(samples: list[DetectionSample]) -> dict[str, Any]:
        """Make a batch; see :func:`detection_batch`."""
        return detection_batch(samples)


class DetectionEvaluationSet(Dataset[EvaluationSample]):
    """Whole images within the limits a model is used at, with their annotations at the original size.

    Args:
        files: the images and boxes.
        resize: limits that the images are brought to, or None.
    """

    def __init__(self, files: DetectionFiles, resize: Limits | None) -> None:
        self.files = files
        self.resize = resize

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def __getitem__(self, index: int) -> EvaluationSample:
        """Return one image and what it is."""
        image = to_detector_input(self.files.image(index), self.resize)
        return EvaluationSample(image, self.files.items[index])

    @staticmethod
    def collate(samples: list[EvaluationSample]) -> list[EvaluationSample]:
        """Do nothing: images of one evaluation batch may differ in size."""
        return samples


def to_detector_input(image: np.ndarray, resize: Limits | None) -> Tensor:
    """Turn a decoded image ``[H, W, 3]`` into uint8 ``[3, H', W']`` within the limits a model is used at."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    if resize is None:
        return tensor
    height, width = image.shape[:2]
    resized: Tensor = functional.resize(tensor, list(limited_size((height, width), resize)), antialias=True)
    return resized


def pad_to_batch(images: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad images ``[3, H, W]`` at the bottom and right with the mean color to one size, a multiple of 32.

    Images of other bands are padded with the mean of each band in them.

    Args:
        images: uint8, or float in [0, 1].

    Returns:
        ``[B, 3, H, W]`` of their type, and the sizes before: int64 ``[B, 2]``.
    """
    images = list(images)
    sizes = torch.tensor([image.shape[-2:] for image in images])
    # The next multiple of the coarsest stride, so that every level covers the whole batch.
    height, width = (math.ceil(side / STRIDE) * STRIDE for side in sizes.amax(0).tolist())
    color = _padding_of(images)
    batch = color[:, None, None].repeat(len(images), 1, height, width)
    for padded, image in zip(batch, images, strict=True):
        padded[:, : image.shape[-2], : image.shape[-1]] = image
    return batch, sizes


def _padding_of(images: Sequence[Tensor]) -> Tensor:
    """Return the color ``[C]`` that a batch of images is padded with."""
    first = images[0]
    if first.shape[0] != len(MEAN_COLOR):
        means = torch.stack([image.float().mean((1, 2)) for image in images]).mean(0)
        return means.to(first.dtype)
    color = torch.tensor(MEAN_COLOR, dtype=torch.uint8, device=first.device)
    return color / 255 if first.is_floating_point() else color


def detection_batch(samples: list[DetectionSample]) -> dict[str, Any]:
    """Collate samples of any sizes.

    Returns:
        ``images`` uint8 ``[B, 3, H, W]``, padded; ``boxes``, a list of float32 ``[N, 4]``;
        ``labels``, a list of int64 ``[N]``; ``sizes`` int64 ``[B, 2]``, height and width before
        padding.
    """
    images, sizes = pad_to_batch(sample.image for sample in samples)
    return {
        "images": images,
        "boxes": [sample.boxes for sample in samples],
        "labels": [sample.labels for sample in samples],
        "sizes": sizes,
    }
