"""Pixel groups: what the pixels of an image show, by which pictures of features are colored.

Classes of a segmentation, classes of the boxes of a detection, ranges of depth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from densekd.data.maps import Resize
from densekd.tasks.protocol import Color

# A pixel that belongs to no group: void, background, not measured.
NO_GROUP = -1


@dataclass(frozen=True)
class PixelGroups:
    """Some images as a model sees them, and the group of each of their pixels.

    Args:
        names: of the G groups.
        colors: of the groups, RGB in 0..255.
        images: uint8 RGB ``[3, H, W]`` each, or their bands.
        groups: int64 ``[H', W']`` each, 0..G-1 or ``NO_GROUP``; it covers the same area as its
            image.
        stems: names of the images.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    images: tuple[Tensor, ...]
    groups: tuple[Tensor, ...]
    stems: tuple[str, ...]


@runtime_checkable
class GroupsPixels(Protocol):
    """A task whose pixels fall into groups; one of the user's need not be."""

    def pixel_groups(self, files: Any, indices: Sequence[int], resize: Resize | None) -> PixelGroups:
        """Return some images of a split with the groups of their pixels.

        Args:
            files: of the task.
            indices: of the images.
            resize: what images are brought to before a model, or None.
        """
        ...
