"""Files below a folder by stem, and their pairs; paths, which cost much more than names, are made when asked for."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, overload


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


class SortedPaths(Sequence[Path]):
    """Paths in the order of their texts.

    Args:
        texts: of the paths, in any order.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted(texts)

    def __len__(self) -> int:
        """Return the number of paths."""
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Path, ...]: ...

    def __getitem__(self, index: int | slice) -> Path | tuple[Path, ...]:
        """Return one path, or some."""
        if isinstance(index, slice):
            return tuple(map(Path, self._texts[index]))
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
