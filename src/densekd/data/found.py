"""Files below a folder by stem, and their pairs; paths, which cost much more than names, are made when asked for."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, overload


class Source(Protocol):
    """Bytes of a file: a ``Path``, or a part of something larger."""

    def read_bytes(self) -> bytes: ...  # noqa: D102

    @property
    def suffix(self) -> str: ...  # noqa: D102


class Item(NamedTuple):
    """One image and its label."""

    stem: str
    image: Source
    label: Source


class Found(Mapping[str, Path]):
    """Files below a folder by stem, in the order of their paths.

    Args:
        folder: that holds them.
        names: stem -> path from the folder, with ``/`` between its sub-folders.
    """

    def __init__(self, folder: Path, names: Mapping[str, str]) -> None:
        self.folder = folder
        self.names = names

    def __getitem__(self, stem: str) -> Path:
        """Return the path of a file."""
        return self.folder / self.names[stem]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the stems."""
        return iter(self.names)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.names)

    def __contains__(self, stem: object) -> bool:
        """Tell whether there is a file of this stem."""
        return stem in self.names

    def without(self, ending: str) -> "Found":
        """Return the files whose stems end so, by their stems without the ending."""
        if not ending:
            return self
        names = {stem.removesuffix(ending): name for stem, name in self.names.items() if stem.endswith(ending)}
        return Found(self.folder, names)


class Pairs(Sequence[Item]):
    """Images with the labels of the same stem.

    Args:
        images: in their order.
        labels: one for each of them at least.
    """

    def __init__(self, images: Mapping[str, Path], labels: Mapping[str, Path]) -> None:
        self.images = images
        self.labels = labels
        self._stems = tuple(images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._stems)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        """Return one pair, or some."""
        if isinstance(index, slice):
            return tuple(map(self._pair, self._stems[index]))
        return self._pair(self._stems[index])

    def __eq__(self, other: object) -> bool:
        """Compare pair by pair, also with a tuple."""
        return isinstance(other, Pairs | tuple) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        """Return the hash of the stems."""
        return hash(self._stems)

    def _pair(self, stem: str) -> Item:
        return Item(stem, self.images[stem], self.labels[stem])
