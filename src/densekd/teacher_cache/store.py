"""Teacher cache on disk: a description, and safetensors shards that are mapped into memory."""

import json
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from densekd.atomic import atomic
from densekd.errors import UserError
from densekd.seal import read_document, write_document
from densekd.teacher_cache.packing import Packed

_SHARD = 256 << 20
_FORMAT = 1
# Of the image. That of the features is not counted, so that files are divided as in earlier versions.
_CHECKSUM_BYTES = 8
_IMAGE, _FEATURES = "checksum", "features checksum"


_ANEW = "Delete it, and the next start makes it anew; a training that was under way goes on with --resume."


class Entry(NamedTuple):
    """Cache entry of one view: the image's checksum, and the packed features of each tap."""

    checksum: int
    teacher_features: dict[str, Packed]


@dataclass(frozen=True)
class Layout:
    """Content of a cache and its division into shards.

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
        size = _CHECKSUM_BYTES
        for packed in self.example.values():
            size += sum(part.nbytes for part in packed.values())
        return size

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
        firsts = range(0, self.entries, self.per_shard)
        return [range(first, min(first + self.per_shard, self.entries)) for first in firsts]


class Store:
    """Reader and writer of one cache; each process that reads maps its files into memory.

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
        if about.exists():
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
        shards = self.layout.shards
        # Shards that are there are kept, so only the others need room.
        entries = sum(len(shards[k]) for k in self.missing())
        needed = entries * self.layout.entry_bytes
        free = free_bytes(self.folder)
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
            teacher_features: packed, each part ``[n, ...]``.
        """
        # The description comes first: shards without one would be refused as something else.
        about = self.folder / "cache.json"
        if not about.is_file():
            write_document(about, self._description())
        parts = {_IMAGE: checksums, _FEATURES: _checksums_of(teacher_features, checksums)}
        for path, packed in teacher_features.items():
            for name, part in packed.items():
                parts[f"{path}/{name}"] = part
        # A shard that is there is complete, so an interrupted run goes on where it stopped.
        with atomic(self._path(shard)) as temporary:
            save_file(parts, temporary)

    def __getitem__(self, entry: int) -> Entry:
        """Read one entry.

        Raises:
            UserError: a missing or damaged file; the checksum of every entry is computed as it is read.
        """
        shard, place = divmod(entry, self.layout.per_shard)
        try:
            file = self._file(shard)
            teacher_features: dict[str, Packed] = {}
            for path, packed in self.layout.example.items():
                # A slice reads the bytes of this entry alone.
                parts = {name: file.get_slice(f"{path}/{name}")[place] for name in packed}
                teacher_features[path] = parts
            image = int(file.get_slice(_IMAGE)[place])
            # Caches of earlier versions have no checksums of features.
            written = None
            if _FEATURES in set(file.keys()):
                written = int(file.get_slice(_FEATURES)[place])
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self._path(shard)}: cannot be read ({error}). {_ANEW}") from error
        if written not in (None, _checksum_of(teacher_features, image)):
            raise UserError(f"{self._path(shard)}: damaged: the checksum of entry {place} does not match. {_ANEW}")
        return Entry(image, teacher_features)

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files out when a loading process is started."""
        return self.__dict__ | {"_open": {}}

    def _file(self, shard: int) -> Any:
        if shard not in self._open:
            self._open[shard] = safe_open(self._path(shard), "pt")
        return self._open[shard]

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:06}.safetensors"

    def _description(self) -> dict[str, Any]:
        return {"format": _FORMAT, **self.layout.facts}

    def _compare(self, about: Path) -> None:
        """Refuse a cache that was made from other weights, data, views or packings."""
        there = _flat(read_document(about, f"Or delete {self.folder} to have it made anew."))
        # Through JSON and back, so that tuples and numbers are what a file makes of them.
        here = _flat(json.loads(json.dumps(self._description())))
        # Name what differs, key by key: a changed augmentation is not a changed teacher.
        differ = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        if differ:
            shown = "; ".join(f"{key} is {there.get(key)} there and {here.get(key)} here" for key in differ)
            raise UserError(
                f"teacher.cache.folder: {self.folder} was made with something else: {shown}. "
                "Name another folder, or delete this one to have it made anew."
            )


def _checksums_of(teacher_features: Mapping[str, Packed], images: Tensor) -> Tensor:
    """Return the CRC-32 of n entries, int64 ``[n]``, from their features and the checksums of their images."""
    checksums = []
    for place, image in enumerate(images.tolist()):
        entry: dict[str, Packed] = {}
        for path, packed in teacher_features.items():
            entry[path] = {name: part[place] for name, part in packed.items()}
        checksums.append(_checksum_of(entry, image))
    return torch.tensor(checksums, dtype=torch.int64)


def _checksum_of(teacher_features: Mapping[str, Packed], image: int) -> int:
    """Return the CRC-32 of one entry: about a millisecond for a megabyte."""
    checksum = zlib.crc32(str(image).encode())
    for packed in teacher_features.values():
        for part in packed.values():
            data = part.contiguous().view(-1).view(torch.uint8).numpy().data
            checksum = zlib.crc32(data, checksum)
    return checksum


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk that ``folder`` is or will be on."""
    # The folder itself may not be there yet: its nearest parent is on the same disk.
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def gigabytes(count: int) -> str:
    """Format a size in GB."""
    return f"{count / 1e9:.3g} GB"


def example_of(teacher_features: Mapping[str, Packed]) -> dict[str, Packed]:
    """Return empty tensors of the shapes of a packed batch's first entry."""
    example: dict[str, Packed] = {}
    for path, packed in teacher_features.items():
        example[path] = {name: torch.empty_like(part[:1]) for name, part in packed.items()}
    return example


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries to ``{"a.b.c": value}``."""
    if not isinstance(value, dict):
        return {prefix.rstrip("."): value}
    flat: dict[str, Any] = {}
    for key, part in value.items():
        flat |= _flat(part, f"{prefix}{key}.")
    return flat
