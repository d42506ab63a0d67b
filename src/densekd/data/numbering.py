"""Other numbers for the classes of files: what each class becomes, and labels counted so."""

import io
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from densekd.data.classes import Classes
from densekd.data.lookup import looked_up


@dataclass(frozen=True)
class Numbering:
    """The classes that files shall count, in place of those that they count.

    Args:
        classes: names in their new order, and the void label.
        numbers: for each class of the files its number among ``classes``.
        categories: the number of each class in files of results; empty where there are none.
    """

    classes: Classes
    numbers: tuple[int, ...]
    categories: tuple[int, ...] = ()

    def table(self, void: int) -> np.ndarray:
        """Return the new label of each of 256 old ones, uint8.

        Args:
            void: the old label of void pixels.
        """
        table = np.full(256, self.classes.ignore_index, np.uint8)
        table[: len(self.numbers)] = self.numbers
        table[void] = self.classes.ignore_index
        return table


class Labelled(Protocol):
    """Files whose label maps can be decoded."""

    def label(self, index: int) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class RenumberedLabel:
    """Stands where a label file would: its class numbers are replaced when it is read.

    Args:
        files: the image and its label as they are, alone.
        table: the new label of each of 256 old ones.
        name: of the label file.
    """

    files: Labelled
    table: bytes
    name: str

    def values(self) -> np.ndarray:
        """Return the new numbers: uint8 ``[H, W]``.

        Raises:
            UserError: a damaged label, or a value that is no class.
        """
        return looked_up(self.files.label(0), np.frombuffer(self.table, np.uint8))

    def read_bytes(self) -> bytes:
        """Return a PNG of the new numbers.

        Raises:
            UserError: as above.
        """
        buffer = io.BytesIO()
        Image.fromarray(self.values()).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    @property
    def suffix(self) -> str:
        """The suffix of the format."""
        return ".png"

    def __str__(self) -> str:
        """Return the name of the label file."""
        return self.name
