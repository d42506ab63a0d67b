"""Remarks on the pictures of a split: orientations applied or not, frames, transparency, almost black ones."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from densekd.data.picture.kind import PictureKind
from densekd.data.picture.turn import Size, shown_from_stored

# What fills less than this share of its range is almost black.
_DARK = 1 / 16

_TURNED = "turned as viewers show them"
_DOUBT = f"{_TURNED}, as OpenCV and Ultralytics do; nothing tells whether their labels or boxes were made so"
_KEPT = "not turned: their labels or boxes fit the stored pixels"


class Seen(NamedTuple):
    """A picture as it was read.

    Args:
        name: of its file.
        kind: what the file is.
        size: (height, width) as it was read.
    """

    name: str
    kind: PictureKind
    size: Size


class PictureRemark(NamedTuple):
    """What is odd about some pictures, and the first of them."""

    what: str
    first: str


def remarks(pictures: Sequence[Seen], labelled: bool = True) -> list[PictureRemark]:
    """Remark on what is odd about pictures and their reading, once for all of them.

    Args:
        pictures: of one split.
        labelled: whether something lies beside them that may have been made on turned pictures.
    """
    return [*_turns(pictures, labelled), *_frames(pictures), *_transparent(pictures), *_dark(pictures)]


def _turns(pictures: Sequence[Seen], labelled: bool) -> list[PictureRemark]:
    """Say whether EXIF orientations were applied, and why."""
    found: list[PictureRemark] = []
    turned = [one for one in pictures if one.kind.orientation != 1]
    for reading in (_TURNED, _DOUBT, _KEPT):
        alike = [one for one in turned if _reading(one, labelled) == reading]
        if alike:
            counts = Counter(one.kind.orientation for one in alike)
            numbers = ", ".join(f"{number} ({_images(count)})" for number, count in sorted(counts.items()))
            found.append(PictureRemark(f"EXIF orientation {numbers}: {reading}", alike[0].name))
    return found


def _reading(one: Seen, labelled: bool) -> str:
    """Say how a picture with an EXIF orientation was read."""
    stored = one.kind.stored
    # Of a square, and of what is mirrored, the size tells nothing.
    if shown_from_stored(stored, one.kind.orientation) == stored:
        return _DOUBT if labelled else _TURNED
    return _KEPT if one.size == stored else _TURNED


def _frames(pictures: Sequence[Seen]) -> list[PictureRemark]:
    odd = [one for one in pictures if one.kind.frames > 1]
    if not odd:
        return []
    most = max(one.kind.frames for one in odd)
    what = f"{_images(len(odd))} with up to {most} frames or pages: the first is read"
    return [PictureRemark(what, odd[0].name)]


def _transparent(pictures: Sequence[Seen]) -> list[PictureRemark]:
    odd = [one for one in pictures if one.kind.transparent]
    if not odd:
        return []
    most = 100 * max(one.kind.transparent for one in odd)
    what = f"{_images(len(odd))} with up to {most:.1f} % of transparent pixels: their stored colors are read"
    return [PictureRemark(what, odd[0].name)]


def _dark(pictures: Sequence[Seen]) -> list[PictureRemark]:
    """Remark on deep pictures whose values fill little of their range: sensors of 10 or 12 bits."""
    greatest = [one.kind.values[1] for one in pictures if _is_dark(one.kind) and one.kind.values is not None]
    if not greatest:
        return []
    first = next(one for one in pictures if _is_dark(one.kind))
    what = (
        f"{_images(len(greatest))} of {first.kind.bits} bits with values up to {max(greatest):g} of "
        f"{first.kind.white:g}: almost black, as in a viewer; if they have fewer bits, scale them up"
    )
    return [PictureRemark(what, first.name)]


def _is_dark(kind: PictureKind) -> bool:
    # Bands are normalized by what is measured of them, however dark they are.
    if "band" in kind.mode:
        return False
    return kind.bits > 8 and kind.values is not None and kind.values[1] <= _DARK * kind.white


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"
