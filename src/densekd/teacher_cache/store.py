"""The folder of a teacher cache: a description, and shards that are mapped into memory."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from densekd.atomic import atomic, write_text
from densekd.errors import UserError
from densekd.teacher_cache.packing import Packed

_SHARD = 256 << 20
_FORMAT = 1


class Entry(NamedTuple):
    """What is kept of one view: the image's checksum, and the packed map of each tap."""

    checksum: int
    teacher_features: dict[str, Packed]


@dataclass(frozen=True)
class Layout:
    """What a cache holds.

    Args:
        facts: everything that its content depends on; nested plain data.
        entries: number of views of all images.
        example: one packed entry, a batch of one.
    """

    facts: Mapping[str, Any]
    entries: int
    example: Mapping[str, Packed]

    @cached_property
    def entry_bytes(self) -> int:
        """Size of one entry."""
        return 8 + sum(part.nbytes for packed in self.example.values() for part in packed.values())

    @property
    def bytes(self) -> int:
        """Size of all entries."""
        return self.entries * self.entry_bytes

    @property
    def per_shard(self) -> int:
        """Entries in one file."""
        return max(1, _SHARD // self.entry_bytes)

    @property
    def shards(self) -> list[range]:
        """Entries of each file."""
        n = self.per_shard
        return [range(first, min(first + n, self.entries)) for first in range(0, self.entries, n)]


class Store:
    """One cache on disk; reading maps its files into memory, in whichever process reads.

    Args:
        folder: made by the first write.
        layout: what it holds or will hold.

    Raises:
        UserError: the folder holds something else; the message says what differs.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.layout = layout
        self._open: dict[int, Any] = {}
        about = folder / "cache.json"
        if about.is_file():
            self._compare(about)
        elif folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"teacher.cache.folder: {folder} is no teacher cache, and not empty; name another folder.")

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are not there yet."""
        return [k for k in range(len(self.layout.shards)) if not self._path(k).is_file()]

    def require_room(self) -> None:
        """Check that what is missing fits on the disk.

        Raises:
            UserError: it does not.
        """
        sizes = [len(self.layout.shards[k]) for k in self.missing()]
        needed, free = sum(sizes) * self.layout.entry_bytes, free_bytes(self.folder)
        if needed > free:
            raise UserError(
                f"teacher.cache: {gigabytes(needed)} are to be written, and {self.folder} has room for "
                f"{gigabytes(free)}. Fewer views, dtype fp8, or top_k make it smaller."
            )

    def write(self, shard: int, checksums: Tensor, teacher_features: Mapping[str, Packed]) -> None:
        """Write one shard, whole or not at all.

        Args:
            shard: its number.
            checksums: of the images, int64 ``[n]``.
            taught: the packed maps, each ``[n, ...]``.
        """
        if not (self.folder / "cache.json").is_file():
            content = {"format": _FORMAT, **self.layout.facts}
            write_text(self.folder / "cache.json", json.dumps(content, indent=1) + "\n")
        parts = {f"{path}/{name}": part for path, packed in teacher_features.items() for name, part in packed.items()}
        with atomic(self._path(shard)) as temporary:
            save_file({"checksum": checksums, **parts}, temporary)

    def __getitem__(self, entry: int) -> Entry:
        """Read one entry.

        Raises:
            UserError: a missing or damaged file.
        """
        shard, place = divmod(entry, self.layout.per_shard)
        try:
            file = self._file(shard)
            teacher_features = {
                path: {name: file.get_slice(f"{path}/{name}")[place] for name in packed}
                for path, packed in self.layout.example.items()
            }
            return Entry(int(file.get_slice("checksum")[place]), teacher_features)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{self._path(shard)}: cannot be read ({error}). Delete it to have it made anew."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind when a loading process is started."""
        return self.__dict__ | {"_open": {}}

    def _file(self, shard: int) -> Any:
        if shard not in self._open:
            self._open[shard] = safe_open(self._path(shard), "pt")
        return self._open[shard]

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:06}.safetensors"

    def _compare(self, about: Path) -> None:
        try:
            there = _flat(json.loads(about.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"{about}: cannot be read ({error}). Delete {self.folder} to have it made anew.") from error
        here = _flat(json.loads(json.dumps({"format": _FORMAT, **self.layout.facts})))
        differ = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        if differ:
            shown = "; ".join(f"{key} is {there.get(key)} there and {here.get(key)} here" for key in differ)
            raise UserError(
                f"teacher.cache.folder: {self.folder} was made with something else: {shown}. "
                "Name another folder, or delete this one to have it made anew."
            )


def free_bytes(folder: Path) -> int:
    """Return the room on the disk where ``folder`` is or will be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def gigabytes(count: int) -> str:
    """Write a size."""
    return f"{count / 1e9:.3g} GB"


def example_of(teacher_features: Mapping[str, Packed]) -> dict[str, Packed]:
    """Return empty tensors of the shapes of a packed batch's first entry."""
    return {
        p: {name: torch.empty_like(part[:1]) for name, part in packed.items()} for p, packed in teacher_features.items()
    }


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in _flat(part, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): value}
