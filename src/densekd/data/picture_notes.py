"""Notes on the pictures that a finished model is given: what was turned, or is almost black, said once for all."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from densekd.data.contract import Files
from densekd.data.files import content_of, header_of, image_size, read_image
from densekd.data.picture import RGB, UNREADABLE, PictureKind, Seen, header_kind, picture_kind, remarks
from densekd.data.picture.turn import Size, shown_from_stored
from densekd.errors import UserError

# Pictures whose pixels are looked at for their values; of the others the header tells all.
_DECODED = 32
# Larger ones are not decoded for their values: they may not fit the memory.
_LARGE = 1 << 26


def notes_of_images(paths: Iterable[Path]) -> list[str]:
    """Return what people should know of pictures without labels, a sentence each.

    Args:
        paths: of the files; what cannot be read is left to those who read it.
    """
    seen = []
    for path in paths:
        kind = _kind(path)
        if kind is not None:
            # A folder of links stands for a list of files; people know these.
            name = path.readlink() if path.is_symlink() else path
            seen.append(Seen(str(name), kind, shown_from_stored(kind.stored, kind.orientation)))
    return _sentences(_with_values(seen), labelled=False)


def notes_of_pictures(files: Files) -> list[str]:
    """Return what people should know of the pictures of a split, a sentence each; parts of larger files are passed.

    Of other bands than RGB nothing is said: they are no pictures for viewers.
    """
    if getattr(files, "bands", RGB) != RGB:
        return []
    seen = []
    for index, item in enumerate(files.items):
        if not isinstance(item.image, Path):
            continue
        kind = _kind(item.image)
        if kind is not None:
            seen.append(Seen(str(item.image), kind, _size(files, index, kind)))
    return _sentences(_with_values(seen), labelled=files.labels == "present")


def _kind(path: Path) -> PictureKind | None:
    """Read the header of a picture; None where that is not possible, which its reader says."""
    try:
        with header_of(path) as stream:
            return header_kind(stream)
    except UNREADABLE:
        return None


def _size(files: Any, index: int, kind: PictureKind) -> Size:
    """Return the (height, width) that an image is read at: that of its label, map or annotations."""
    item = files.items[index]
    if kind.orientation == 1:
        return kind.stored
    annotated: Size | None = getattr(item, "size", None)
    if annotated is not None:
        return annotated
    try:
        return image_size(item.label)
    except (AttributeError, UserError):
        # No picture lies beside it: an array, or nothing.
        return shown_from_stored(kind.stored, kind.orientation)


def _with_values(seen: list[Seen]) -> list[Seen]:
    """Look at the pixels of the first pictures whose depth or transparency may make them another than expected."""
    found: list[Seen] = []
    left = _DECODED
    for one in seen:
        height, width = one.kind.stored
        if left and height * width <= _LARGE and (one.kind.bits > 8 or "alpha" in one.kind.mode):
            left -= 1
            one = one._replace(kind=_decoded(one))
        found.append(one)
    return found


def _decoded(one: Seen) -> PictureKind:
    path = Path(one.name)
    try:
        return picture_kind(content_of(path), read_image(path, one.size))
    except (UserError, *UNREADABLE):
        return one.kind


def _sentences(seen: list[Seen], labelled: bool) -> list[str]:
    return [f"{remark.what}, the first: {remark.first}" for remark in remarks(seen, labelled)]
