"""Tar shards of a dataset: a few large files, read from disk or an object store in any order.

The tars are what WebDataset reads (``<number>.image.<suffix>``, ``<number>.label.png``). Beside
them lies an index of where each file begins, so samples are read in any order: shuffling, splitting
over nodes and resuming are the same as for plain files, and nothing of a shard is read that is not
used.
"""

import functools
import io
import math
import tarfile
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

import fsspec
from PIL import Image

from densekd.atomic import atomic
from densekd.data.classes import Classes
from densekd.data.contract import Files
from densekd.data.files import SegmentationFiles, content_of, image_size, read_image
from densekd.data.found import Item, Source
from densekd.data.label_coding import LabelCoding
from densekd.data.picture import RGB
from densekd.errors import UserError
from densekd.parsers import parse_json
from densekd.seal import require_unchanged, write_document

Images = Literal["as-is", "uncompressed"]

_MEGABYTE = 1_000_000
# Bytes of an archive; no disk has more.
_LARGEST = 2**60


class Slice(NamedTuple):
    """Byte range of a tar archive that holds one file.

    Args:
        archive: path or URL of the tar.
        offset: of the first byte.
        size: in bytes.
        name: of the file that was packed, for messages.
        checksum: CRC-32 of the file, or None in archives of earlier versions.
    """

    archive: str
    offset: int
    size: int
    name: str
    checksum: int | None = None

    def read_bytes(self) -> bytes:
        """Read the file; from an object store with one range request."""
        system, path = _system(self.archive)
        # An object store answers with what there is, also if the archive is cut off.
        content: bytes = system.cat_file(path, start=self.offset, end=self.offset + self.size)
        if len(content) != self.size:
            raise OSError(f"{self.archive} ends before byte {self.offset + self.size}")
        if self.checksum is not None and zlib.crc32(content) != self.checksum:
            raise OSError(f"{self.archive} is damaged: the checksum of {self.name} in it does not match; pack it anew")
        return content

    @property
    def suffix(self) -> str:
        """The suffix of the file that was packed."""
        return Path(self.name).suffix

    def __str__(self) -> str:
        """Return archive and name."""
        return f"{self.archive}:{self.name}"


class Uncompressed(NamedTuple):
    """A picture as PPM: the pixels that are read, uncompressed.

    Args:
        source: the picture.
        label: of the picture, whose size may say how it is turned.
    """

    source: Source
    label: Source

    def read_bytes(self) -> bytes:
        """Decode the picture and write it without compression."""
        buffer = io.BytesIO()
        Image.fromarray(read_image(self.source, image_size(self.label))).save(buffer, "PPM")
        return buffer.getvalue()

    @property
    def suffix(self) -> str:
        """The suffix of the format."""
        return ".ppm"

    def __str__(self) -> str:
        """Return the picture's own name."""
        return str(self.source)


class Numbers(NamedTuple):
    """A label file as a PNG of one channel with the same values."""

    source: Source
    coding: LabelCoding

    def read_bytes(self) -> bytes:
        """Decode the label and write its values as a PNG."""
        return self.coding.encode(content_of(self.source), str(self.source))

    @property
    def suffix(self) -> str:
        """The suffix of the format."""
        return ".png"

    def __str__(self) -> str:
        """Return the label's own name."""
        return str(self.source)


def require_free(out: Path, splits: Sequence[str]) -> None:
    """Check that packing splits into a folder replaces nothing: there may be shards of another dataset.

    Raises:
        UserError: an index or a tar of one of the splits.
    """
    for split in splits:
        there = [path for path in (out / f"{split}.json", out / f"{split}-000000.tar") if path.exists()]
        if there:
            raise UserError(f"{there[0]}: is there already; --force replaces the shards of '{split}'.")


def write_shards(files: Files, split: str, out: Path, megabytes: int, images: Images = "as-is") -> Iterator[int]:
    """Pack one split.

    The index is written last, so an interrupted run leaves nothing that could be mistaken for a
    dataset.

    Args:
        files: what to pack.
        split: name of the index and of the tars.
        out: folder.
        megabytes: size at which a new tar is begun.
        images: ``as-is`` packs the files byte for byte; ``uncompressed`` packs the same pixels as
            PPM, which are several times larger and need no decoding. Labels go in as they are.

    Yields:
        The number of samples packed so far.

    Raises:
        UserError: a file that cannot be read, or data without label maps.
    """
    if not isinstance(files, SegmentationFiles):
        raise UserError(f"Shards hold label maps, and this data has {files.holds}; train from it as it is.")
    if images == "uncompressed" and files.bands != RGB:
        raise UserError("Uncompressed shards hold RGB; pack images of other bands as they are.")
    rows: list[list[Any]] = []
    todo = deque(files.items)
    number = 0
    # Tar after tar is filled until it reaches the size; the last sample may exceed it.
    while todo:
        archive = f"{split}-{number:06}.tar"
        with (
            atomic(out / archive) as temporary,
            tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            while todo and tar.offset < megabytes * _MEGABYTE:
                item = todo.popleft()
                image: Source = item.image
                if images == "uncompressed":
                    image = Uncompressed(image, item.label)
                label: Source = item.label
                if files.coding is not None:
                    label = Numbers(label, files.coding)
                # One row of the index: stem, archive, and the byte ranges of image and label.
                stem = f"{len(rows):09}"
                image_place = _add(tar, f"{stem}.image", image)
                label_place = _add(tar, f"{stem}.label", label)
                rows.append([item.stem, archive, image_place, label_place])
                yield len(rows)
        number += 1
    # The index holds what a label means, so that shards need no other file.
    content = {
        "format": 1,
        "classes": asdict(files.classes),
        "label_map": sorted(files.label_map.items()),
        "items": rows,
    }
    write_document(out / f"{split}.json", content, indent=None)


def shards(root: Path | str, split: str) -> SegmentationFiles:
    """Tar shards that 'densekd data shard' packed, in a folder or an object store.

    Args:
        root: folder or URL (``s3://bucket/folder``; what fsspec knows) with ``<split>.json`` and
            its tars.
        split: name of the index.

    Raises:
        UserError: no such index, or a damaged one.
    """
    path = f"{root}/{split}.json"
    try:
        system, inside = _system(path)
        content = require_unchanged(parse_json(system.cat_file(inside)), path, "Or pack the shards anew.")
        items = []
        for stem, archive, image, label in content["items"]:
            url = f"{root}/{archive}"
            items.append(Item(str(stem), _slice(url, *image), _slice(url, *label)))
        classes = _parse_classes(content["classes"])
        return SegmentationFiles(classes, tuple(items), _label_map(content["label_map"]))
    except FileNotFoundError as error:
        raise UserError(
            f"no index of shards; looked for {path}, which 'densekd data shard RECIPE {root}' writes."
        ) from error
    except (OSError, ImportError, ValueError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise UserError(
            f"{path}: not an index of shards ({type(error).__name__}: {error}). Put back a copy of it, or pack "
            "the shards anew."
        ) from error


def _slice(archive: str, offset: int, size: int, name: str, checksum: int | None = None) -> Slice:
    """Check a place of the index.

    Raises:
        TypeError, ValueError: it is none.
    """
    whole = isinstance(offset, int) and isinstance(size, int)
    if not whole or not 0 <= offset < _LARGEST or not 0 <= size < _LARGEST or not isinstance(name, str):
        raise ValueError(f"{[offset, size, name]!r:.80} is no offset, size and name of a file")
    if checksum is not None and not isinstance(checksum, int):
        raise ValueError(f"{checksum!r:.80} is no checksum of a file")
    return Slice(archive, offset, size, name, checksum)


def _label_map(pairs: Any) -> dict[int, int]:
    """Check the values of the label files and the labels that they become."""
    found: dict[int, int] = {}
    for value, label in pairs:
        if not (isinstance(value, int) and isinstance(label, int) and 0 <= value <= 255 and 0 <= label <= 255):
            raise ValueError(f"label_map: {[value, label]!r:.80} are no two numbers from 0 to 255")
        found[value] = label
    return found


def _parse_classes(content: Mapping[str, Any]) -> Classes:
    if not isinstance(content["ignore_index"], int) or not all(isinstance(name, str) for name in content["names"]):
        raise ValueError("classes have names, which are texts, and a whole number as ignore_index")
    return Classes(
        names=tuple(content["names"]),
        palette=tuple((r, g, b) for r, g, b in content["palette"]),
        ignore_index=content["ignore_index"],
        submission=tuple(content["submission"]),
    )


def _add(tar: tarfile.TarFile, name: str, source: Source) -> tuple[int, int, str, int]:
    """Add one file; return where its bytes begin, how many there are, its name and their CRC-32."""
    try:
        content = content_of(source)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error}).") from error
    # Names, times and owners are left out: the same files give the same tar.
    header = tarfile.TarInfo(f"{name}{source.suffix.lower()}")
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))
    # A tar pads each file to whole blocks; the file begins that far before the end.
    blocks = math.ceil(len(content) / tarfile.BLOCKSIZE)
    return tar.offset - blocks * tarfile.BLOCKSIZE, len(content), str(source), zlib.crc32(content)


@functools.lru_cache(maxsize=64)
def _system(url: str) -> tuple[Any, str]:
    """Open fsspec's file system of a path or URL once; return it and the path inside it."""
    system, path = fsspec.core.url_to_fs(url)
    return system, path
