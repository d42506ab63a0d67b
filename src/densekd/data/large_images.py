"""Pictures that are predicted by windows without ever being whole in memory."""

from pathlib import Path

import numpy as np
from PIL import Image

from densekd.data.picture import UNREADABLE
from densekd.data.picture.blocks import PictureBlocks
from densekd.data.picture.opened import opened
from densekd.errors import UserError
from densekd.parsers.files import require_file
from densekd.terminal import logger

_LOG = logger()
# Pixels from which on a picture is read by rectangle: 0.2 GB of RGB.
_LARGE = 1 << 26


class LargeImage:
    """A picture file that is read by rectangle.

    Args:
        path: of the file, for messages.
        blocks: its pixels.
    """

    def __init__(self, path: Path, blocks: PictureBlocks) -> None:
        self._path = path
        self._blocks = blocks

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self._blocks.size

    def read(self, y: slice, x: slice) -> np.ndarray:
        """Read a rectangle, uint8 RGB ``[h, w, 3]``.

        Raises:
            UserError: a damaged file.
        """
        try:
            return self._blocks.read(y, x)
        except UNREADABLE as error:
            raise UserError(f"{self._path}: the image cannot be read ({error}). Replace or remove it.") from error

    def reduced(self, longest: int) -> tuple[np.ndarray, int]:
        """Read the whole reduced by a whole number, so that its longer side is at most ``longest``.

        Returns:
            uint8 RGB, each pixel the mean of ``factor`` x ``factor``; and the factor.

        Raises:
            UserError: a damaged file.
        """
        height, width = self.size
        factor = -(-max(height, width) // longest)
        rows = []
        for top in range(0, height, factor):
            part = self.read(slice(top, min(top + factor, height)), slice(0, width))
            rows.append(np.asarray(Image.fromarray(part).reduce(factor)))
        return np.concatenate(rows), factor


def large_image(path: Path) -> LargeImage | None:
    """Open a large TIFF to be read by rectangle; None for any other picture, and for what has no such parts.

    What must be decoded as a whole although it is large is said.
    """
    try:
        require_file(path)
        with path.open("rb") as stream, opened(stream) as picture:
            pixels = picture.width * picture.height
            is_tiff = picture.format == "TIFF"
    except UNREADABLE:
        # Its reader says what it is.
        return None
    if pixels < _LARGE:
        return None
    reason = "only TIFF files are read in parts"
    if is_tiff:
        try:
            return LargeImage(path, PictureBlocks(path))
        except UNREADABLE as error:
            reason = str(error)
    # Colors, class numbers and the overlay.
    needed = 8 * pixels / 1e9
    _LOG.warning("%s: all of it is decoded at once, about %.1f GB of memory: %s.", path, needed, reason)
    return None
