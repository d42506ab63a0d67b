"""Images with alpha mattes: the opacity of the foreground at every pixel, as 8-bit PNGs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from densekd.data.classes import Classes
from densekd.data.files import pair_by_stem, read_image
from densekd.data.found import Item, Source
from densekd.errors import UserError


@dataclass(frozen=True)
class MattingFiles:
    """The images of one split with their mattes.

    Args:
        items: sorted by stem; ``label`` is the file of the matte.
    """

    task: ClassVar[str] = "matting"
    holds: ClassVar[str] = "alpha mattes"
    categories: ClassVar[tuple[int, ...]] = ()
    # One output channel and its color.
    classes: ClassVar[Classes] = Classes(("alpha",), ((255, 255, 255),))
    labels: ClassVar[Literal["present", "absent"]] = "present"

    items: Sequence[Item]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.items)

    def image(self, index: int) -> np.ndarray:
        """Decode an image: uint8 RGB ``[H, W, 3]``."""
        return read_image(self.items[index].image)

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Decode an image and its matte, uint8 ``[H, W]``, 255 where the foreground is opaque.

        Raises:
            UserError: a damaged file, or sizes that differ.
        """
        image = self.image(index)
        matte = _read_matte(self.items[index].label)
        if image.shape[:2] != matte.shape:
            raise UserError(f"{self.items[index].image} and its matte are not of the same size.")
        return image, matte

    def join(self, others: "Sequence[MattingFiles]") -> "MattingFiles":
        """Return these images and those of other splits."""
        items = list(self.items)
        for other in others:
            items += other.items
        return replace(self, items=tuple(items))


def matting(root: Path, split: str) -> MattingFiles:
    """Folder of images and alpha mattes for matting: images and mattes of the same stem.

    Layout: ``images/<split>/<stem>.jpg|png|...`` and ``mattes/<split>/<stem>.png``, one channel of 8 bits.

    Args:
        root: the folder that holds them.
        split: the name of a sub-folder of both.

    Raises:
        UserError: a missing folder, no images, or files that do not pair.
    """
    return MattingFiles(pair_by_stem(root / "images" / split, root / "mattes" / split))


def _read_matte(source: Source) -> np.ndarray:
    matte = read_image(source)
    if (matte != matte[..., :1]).any():
        raise UserError(f"{source}: a matte has one channel, but this picture has colors.")
    return np.array(matte[..., 0])
