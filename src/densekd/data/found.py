"""Files below a folder by stem, and their pairs; paths, which cost much more than names, are made when asked for."""

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, overload

T = TypeVar("T")


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

    def texts(self) -> list[str]:
        """Return the paths of all files as texts."""
        # The root of a disk ends in a separator.
        start = os.fspath(self.folder).rstrip(os.sep) + os.sep
        return [start + name for name in self.names.values()]

    def without(self, ending: str) -> "Found":
        """Return the files whose stems end so, by their stems without the ending."""
        if not ending:
            return self
        names = {stem.removesuffix(ending): name for stem, name in self.names.items() if stem.endswith(ending)}
        return Found(self.folder, names)


class MadeWhenAsked(Sequence[T]):
    """Elements of which each is made when it is asked for; several of them are a tuple."""

    @abstractmethod
    def make(self, index: int) -> T:
        """Make the element at an index from 0 on."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...

    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        """Return one element, or some."""
        places = range(len(self))[index]
        return self.make(places) if isinstance(places, int) else tuple(map(self.make, places))


class Pairs(MadeWhenAsked[Item]):
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

    def __eq__(self, other: object) -> bool:
        """Compare pair by pair, also with a tuple."""
        return isinstance(other, Pairs | tuple) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        """Return the hash of the stems."""
        return hash(self._stems)

    def make(self, index: int) -> Item:
        """Make one pair."""
        stem = self._stems[index]
        return Item(stem, self.images[stem], self.labels[stem])


class SortedPaths(MadeWhenAsked[Path]):
    """Paths in the order of their texts.

    Args:
        texts: of the paths, in any order.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted(texts)

    def __len__(self) -> int:
        """Return the number of paths."""
        return len(self._texts)

    def make(self, index: int) -> Path:
        """Make one path."""
        return Path(self._texts[index])


def label_texts(items: Sequence[Item]) -> list[str]:
    """Return the paths of the labels of images as texts."""
    if isinstance(items, Pairs) and isinstance(items.labels, Found):
        return items.labels.texts()
    return [str(item.label) for item in items]


def without_partner(files: Mapping[str, Path], partners: Mapping[str, Path]) -> list[str]:
    """Return the stems of files that are not among those of their partners, in their order."""
    stems, others = _by_stem(files), _by_stem(partners)
    # Of dictionaries this is one comparison instead of one for each stem.
    if stems.keys() <= others.keys():
        return []
    return [stem for stem in stems if stem not in others]


def _by_stem(files: Mapping[str, Path]) -> Mapping[str, Any]:
    return files.names if isinstance(files, Found) else files
