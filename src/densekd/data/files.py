"""Image and label files of a segmentation dataset: found, paired by name, verified and decoded."""

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from PIL import UnidentifiedImageError

from densekd.data.classes import Classes
from densekd.data.found import Found, Item, Pairs, Source, without_partner
from densekd.data.label_coding import LabelCoding
from densekd.data.listing import list_names
from densekd.data.lookup import holds_only, looked_up
from densekd.data.numbering import Numbering, RenumberedLabel
from densekd.data.picture import (
    RGB,
    UNREADABLE,
    Bands,
    WrongBandsError,
    band_size,
    decode_bands,
    decode_channel,
    opened,
    shown_size,
)
from densekd.errors import UserError
from densekd.parsers import load_text, read_bytes
from densekd.parsers.files import is_file, require_file

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
LABEL_SUFFIXES = (".png",)


@runtime_checkable
class MadeLabel(Protocol):
    """A label that is made when it is read, and is no file."""

    def values(self) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class SegmentationFiles:
    """Images and labels of one split.

    Args:
        classes: what the labels mean.
        items: sorted by stem.
        label_map: value in the file -> label, for values that differ.
        labels: ``absent`` where every label is void, because there are images alone.
        notes: what people should know of the files, a sentence each.
        coding: what the pixels of the label files say; None: class numbers in one channel of 8 bits.
        bands: that are read of the images, see :func:`densekd.data.picture.decode_bands`; 3: RGB.
    """

    task: ClassVar[str] = "segmentation"
    holds: ClassVar[str] = "label maps"
    # Class numbers in files of results are those of the labels.
    categories: ClassVar[tuple[int, ...]] = ()

    classes: Classes
    items: Sequence[Item]
    label_map: Mapping[int, int] = field(default_factory=dict)
    labels: Literal["present", "absent"] = "present"
    notes: tuple[str, ...] = ()

    coding: LabelCoding | None = None
    bands: Bands = RGB

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.items)

    def image(self, index: int) -> np.ndarray:
        """Decode an image as viewers show it: uint8 RGB ``[H, W, 3]``, or its bands ``[H, W, N]``.

        Raises:
            UserError: a damaged or unreadable file.
        """
        return read_image(self.items[index].image, bands=self.bands)

    def label(self, index: int) -> np.ndarray:
        """Decode a label: uint8 ``[H, W]``, values 0..C-1 or ``ignore_index``.

        Raises:
            UserError: a damaged file, several channels, or a value that is no class.
        """
        path = self.items[index].label
        values = _read_label(path) if self.coding is None else self.coding.read(_content(path), str(path))
        known = self._known()
        if not holds_only(values, known):
            for value in np.flatnonzero(np.bincount(values.ravel(), minlength=256)):
                if int(value) not in known:
                    y, x = np.argwhere(values == value)[0]
                    said = self._known_in_words(int(value))
                    raise UserError(f"{path}: label value {value} at row {y}, column {x}; {said}")
        if not self.label_map:
            return values
        meaning = np.arange(256, dtype=np.uint8)
        meaning[list(self.label_map)] = list(self.label_map.values())
        return looked_up(values, meaning)

    def _known(self) -> Collection[int]:
        """Return the values that label files may hold."""
        if self.coding is not None:
            return self.coding.known
        return {*range(len(self.classes.names)), self.classes.ignore_index, *self.label_map}

    def _known_in_words(self, value: int) -> str:
        """Say what values label files may hold, and what to do about another."""
        count = len(self.classes.names)
        if self.coding is None or self.coding.known == {*range(count), self.classes.ignore_index}:
            known = f"the {count} classes are 0..{count - 1} and ignored pixels are {self.classes.ignore_index}."
        else:
            known = f"known are {', '.join(map(str, sorted(self.coding.known)))}."
        if self.coding is None:
            return known
        return (
            f"{known} Name its class in classes.json, or write data.options: {{ignore: [{value}]}} if it means "
            f"nothing, {{map: {{{value}: CLASS}}}} if it is another's."
        )

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Decode image and label.

        The image is turned as its EXIF orientation says, unless its stored pixels alone have the size
        of the label.

        Raises:
            UserError: as above, or when their sizes differ.
        """
        label = self.label(index)
        item = self.items[index]
        image = read_image(item.image, label.shape, self.bands)
        if image.shape[:2] != label.shape:
            raise UserError(
                f"{item.image} is {image.shape[1]} x {image.shape[0]} pixels, but its label {item.label} is "
                f"{label.shape[1]} x {label.shape[0]}. They must be the same size."
            )
        return image, label

    def join(self, others: "Sequence[SegmentationFiles]") -> "SegmentationFiles":
        """Return these images and those of other splits of the same dataset.

        Raises:
            UserError: splits whose label files hold different values for one class.
        """
        items = list(self.items)
        for other in others:
            if (other.label_map, other.coding) != (self.label_map, self.coding):
                raise UserError("the splits write their labels differently and cannot be joined.")
            items += other.items
        return replace(self, items=tuple(items), notes=all_notes(self, others))

    def renumber(self, numbering: Numbering) -> "SegmentationFiles":
        """Return these images with labels of other numbers, see :mod:`densekd.data.class_order`."""
        table = numbering.table(self.classes.ignore_index).tobytes()
        items = []
        for item in self.items:
            alone = replace(self, items=(item,))
            items.append(item._replace(label=RenumberedLabel(alone, table, str(item.label))))
        return replace(self, classes=numbering.classes, items=tuple(items), label_map={}, coding=None)


def all_notes(first: Any, others: Iterable[Any]) -> tuple[str, ...]:
    """Return the notes of joined files, each once."""
    notes = list(first.notes)
    for other in others:
        notes += other.notes
    return tuple(dict.fromkeys(notes))


def read_image(source: Source, fits: tuple[int, ...] | None = None, bands: Bands = RGB) -> np.ndarray:
    """Decode any image file to uint8 RGB ``[H, W, 3]``, as viewers show it, or to other bands.

    See :func:`densekd.data.picture.decode.decode_picture` and
    :func:`densekd.data.picture.bands.decode_bands`.

    Args:
        source: the file.
        fits: (height, width) of its label, map or annotations, which may have been made on the stored
            pixels of a photograph with an EXIF orientation.
        bands: how many, or their numbers from 1; three are RGB.

    Raises:
        UserError: a missing, damaged or unreadable file, or one of other bands; the message says what
            it is.
    """
    size = None if fits is None else (fits[0], fits[1])
    try:
        return decode_bands(content_of(source), bands, size)
    except WrongBandsError as error:
        raise UserError(f"{source}: {error}.") from error
    except UNREADABLE as error:
        raise _unreadable(source, error) from error


def content_of(source: Source) -> bytes:
    """Read all bytes of a file, or of a part of something larger.

    Raises:
        OSError: it cannot be read, or a folder, pipe or device stands in its place.
    """
    return read_bytes(source) if isinstance(source, Path) else source.read_bytes()


def _unreadable(source: Source, error: Exception) -> UserError:
    return UserError(f"{source}: the image cannot be read ({error}). Replace or remove it.")


def _content(path: Source) -> bytes:
    try:
        return content_of(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: the label cannot be read ({error}). Replace it.") from error


def _read_label(path: Source) -> np.ndarray:
    """Decode a label to its values ``[H, W]``."""
    if isinstance(path, MadeLabel):
        return path.values()
    try:
        content = content_of(path)
        with opened(content) as picture:
            mode = picture.mode
            values = decode_channel(picture, content)
    except UNREADABLE as error:
        raise UserError(f"{path}: the label cannot be read ({error}). Replace it.") from error
    if mode not in ("L", "P"):
        raise UserError(
            f"{path}: a label must be one channel of 8-bit class numbers, but this picture's mode is {mode}."
        )
    return values


def find(folder: Path, endings: Iterable[str]) -> Found:
    """List the files below ``folder`` by stem (the path from ``folder`` without its ending), sorted.

    Args:
        folder: searched with all its sub-folders, see :func:`densekd.data.listing.list_files`.
        endings: of the file names, in lower case: suffixes, or more of the name
            (``_leftimg8bit.png``); none ends in another.

    Raises:
        UserError: the folder does not exist, or two files share a stem.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder.")
    endings = tuple(endings)
    names = list_names(folder)
    found = _by_one_ending(names, endings)
    if found is None:
        found = _by_endings(folder, names, endings)
    return Found(folder, found)


def _by_one_ending(names: Sequence[str], endings: tuple[str, ...]) -> dict[str, str] | None:
    """Return the names by stem where all files end alike and no stem is there twice, as mostly; else None."""
    ending = _written_ending(names[0], endings) if names else ""
    # One text of all names is searched sooner than each of them.
    text = "\n".join(names)
    between = text.count("\n")
    alike = text.endswith(ending) and text.count(f"{ending}\n") == between == len(names) - 1
    if not ending or not alike:
        return None
    stems = text.removesuffix(ending).replace(f"{ending}\n", "\n").split("\n")
    found = dict(zip(stems, names, strict=True))
    return found if len(found) == len(names) else None


def _by_endings(folder: Path, names: Iterable[str], endings: tuple[str, ...]) -> dict[str, str]:
    """Return the names with one of the endings by stem."""
    found: dict[str, str] = {}
    for name in names:
        ending = _written_ending(name, endings)
        if not ending:
            continue
        stem = name[: -len(ending)]
        if stem in found:
            raise UserError(f"{folder / found[stem]} and {folder / name} have the same stem; keep one.")
        found[stem] = name
    return found


def _written_ending(name: str, endings: tuple[str, ...]) -> str:
    """Return the ending of a file's name in its own letters, small or capital; of other files nothing."""
    lower = name.lower()
    for ending in endings:
        if lower.endswith(ending):
            return name[-len(ending) :]
    return ""


def pair_by_stem(
    images: Path,
    labels: Path,
    image_endings: Iterable[str] = IMAGE_SUFFIXES,
    label_endings: Iterable[str] = LABEL_SUFFIXES,
) -> Pairs:
    """Pair every image with the label of the same stem.

    Raises:
        UserError: a folder is missing, there is no image, or an image or label has no partner.
    """
    by_image = find(images, image_endings)
    by_label = find(labels, label_endings)
    if not by_image:
        raise UserError(f"{images}: no images ({', '.join(image_endings)}).")
    _require_partners(by_image, by_label, f"label in {labels}")
    _require_partners(by_label, by_image, f"image in {images}")
    return Pairs(by_image, by_label)


def _require_partners(files: Mapping[str, Path], partners: Mapping[str, Path], what: str) -> None:
    alone = without_partner(files, partners)
    if alone:
        raise UserError(f"{len(alone)} of {len(files)} files have no {what}, the first: {files[alone[0]]}.")


def first_folder(candidates: Iterable[Path], what: str) -> Path:
    """Return the first folder that exists.

    Args:
        candidates: in order of preference.
        what: what is looked for, for the message.

    Raises:
        UserError: none exists; all are listed.
    """
    candidates = list(candidates)
    for path in candidates:
        if path.is_dir():
            return path
    raise UserError(f"{what} not found; looked for {' and '.join(map(str, candidates))}.")


def first_file(candidates: Iterable[Path]) -> Path | None:
    """Return the first file that exists, or None."""
    for path in candidates:
        if is_file(path):
            return path
    return None


def read_lines(path: Path) -> list[str]:
    """Read a list of names or annotations: the lines of a text file without the blank ones."""
    return [line for line in read_text(path).splitlines() if line.strip()]


def read_text(path: Path) -> str:
    """Read a text file: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        UserError: the file cannot be read, or is in another encoding.
    """
    try:
        return load_text(path)
    except OSError as error:
        raise UserError(f"{path}: the text cannot be read ({error}).") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}. Save it in UTF-8.") from error


def image_size(path: Source) -> tuple[int, int]:
    """Read the (height, width) that viewers show from the header of an image file.

    Raises:
        UserError: a missing or unreadable file.
    """
    try:
        with header_of(path) as stream, opened(stream) as picture:
            return shown_size(picture)
    except UNREADABLE as error:
        # A TIFF of many bands is no picture for Pillow.
        unknown = isinstance(error.__cause__, UnidentifiedImageError)
        size = band_size(content_of(path)) if unknown else None
        if size is not None:
            return size
        raise _unreadable(path, error) from error


def header_of(source: Source) -> BinaryIO:
    """Open a file of which the beginning is read; of what is no file of its own, all bytes are."""
    if isinstance(source, Path):
        require_file(source)
        return source.open("rb")
    return io.BytesIO(source.read_bytes())
