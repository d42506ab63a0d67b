"""What is known of one image and what lies beside it: sizes, counts, and what is odd or wrong."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from densekd.data.files import content_of
from densekd.data.found import Source
from densekd.data.picture import RGB, Bands, PictureKind, PictureRemark, Seen, band_kind, picture_kind, remarks


class Facts(NamedTuple):
    """What is known of one image and its label, boxes or map.

    Args:
        size: (height, width), or None where something cannot be read.
        counts: how often each thing occurs, in the order of the task's ``counted``; empty where
            something cannot be read.
        digest: of the image file's bytes.
        error: what stops a training, or None.
        warning: what is odd, or None.
        kind: what kind of picture the image file is, or None where it was not looked at.
    """

    size: tuple[int, int] | None
    counts: tuple[np.ndarray, ...]
    digest: str
    error: str | None
    warning: str | None
    kind: PictureKind | None = None


def image_facts(
    sources: Sequence[Source],
    size: tuple[int, int],
    counts: tuple[np.ndarray, ...],
    warnings: Iterable[str] = (),
    pixels: np.ndarray | None = None,
    bands: Bands = RGB,
) -> Facts:
    """Return the facts of an image that can be read, with what is odd about its files.

    Args:
        sources: the image, and the file of its label or map if it has one of its own.
        size: height and width of the image.
        counts: see :class:`Facts`.
        warnings: what else is odd.
        pixels: of the image as it was read, uint8 RGB or bands; None: nothing is said of its file.
        bands: that are read of the image.
    """
    content = content_of(sources[0])
    kind = None
    if pixels is not None:
        kind = picture_kind(content, pixels) if bands == RGB else band_kind(content, pixels)
    odd = [*_capitals(sources), *warnings]
    # Equal digests are how the same image is found twice.
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Facts(size, counts, digest, None, "; ".join(odd) or None, kind)


def unreadable(message: str) -> Facts:
    """Return the facts of an image that cannot be read, or whose label cannot."""
    return Facts(None, (), "", message, None)


def picture_remarks(names: Iterable[str], facts: Iterable[Facts]) -> list[PictureRemark]:
    """Remark on what is odd about the image files of a split, once for all of them.

    Args:
        names: of the files.
        facts: of the same images.
    """
    seen: list[Seen] = []
    for name, fact in zip(names, facts, strict=True):
        if fact.kind is not None and fact.size is not None:
            seen.append(Seen(name, fact.kind, fact.size))
    return remarks(seen)


def _capitals(sources: Iterable[Source]) -> list[str]:
    """Remark on suffixes in capitals."""
    remarks: list[str] = []
    for source in sources:
        if source.suffix != source.suffix.lower():
            name = Path(str(source)).name
            remarks.append(f"the suffix of {name} is not in lower case; other tools will not find it")
    return remarks
