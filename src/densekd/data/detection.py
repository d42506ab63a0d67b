"""Images and their boxes: what dataset functions return, and what the loaders read."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from densekd.data.files import Classes, Source, read_image


class Annotations(NamedTuple):
    """The boxes of one image at its original size.

    Shape:
        boxes: float32 ``[N, 4]``, corners x1, y1, x2, y2 in pixels; labels: int64 ``[N]``; crowd: bool ``[N]``, groups
        that are neither learned nor count as missed; area: float64 ``[N]`` in pixels, by which scorers tell sizes
        apart (COCO's is that of the mask).
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    area: np.ndarray


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
        classes: names and colours.
        items: in the order of their numbers.
        categories: the number of each class in results files (COCO's category id).
    """

    classes: Classes
    items: tuple[DetectionItem, ...]
    categories: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.items)

    def image(self, index: int) -> np.ndarray:
        """Decode an image: uint8 RGB ``[H, W, 3]``.

        Raises:
            UserError: a damaged or unreadable file.
        """
        return read_image(self.items[index].image)
