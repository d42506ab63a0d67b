"""What is known of one image and what lies beside it: sizes, counts, and what is odd or wrong."""

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from densekd.data.files import Source

_EXIF_ORIENTATION = 0x0112


class Facts(NamedTuple):
    """What is known of one image and its label, boxes or map.

    Args:
        size: (height, width), or None where something cannot be read.
        counts: how often each thing occurs, in the order of the task's ``counted``; empty where
            something cannot be read.
        digest: of the image file's bytes.
        error: what stops a training, or None.
        warning: what is odd, or None.
    """

    size: tuple[int, int] | None
    counts: tuple[np.ndarray, ...]
    digest: str
    error: str | None
    warning: str | None


def image_facts(
    sources: Sequence[Source],
    size: tuple[int, int],
    counts: tuple[np.ndarray, ...],
    warnings: Iterable[str] = (),
) -> Facts:
    """Return the facts of an image that can be read, with what is odd about its files.

    Args:
        sources: the image, and the file of its label or map if it has one of its own.
        size: height and width of the image.
        counts: see :class:`Facts`.
        warnings: what else is odd.
    """
    content = sources[0].read_bytes()
    odd = [*_capitals(sources), *_turned(content), *warnings]
    # Equal digests are how the same image is found twice.
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Facts(size, counts, digest, None, "; ".join(odd) or None)


def unreadable(message: str) -> Facts:
    """Return the facts of an image that cannot be read, or whose label cannot."""
    return Facts(None, (), "", message, None)


def _capitals(sources: Iterable[Source]) -> list[str]:
    """Remark on suffixes in capitals."""
    remarks: list[str] = []
    for source in sources:
        if source.suffix != source.suffix.lower():
            name = Path(str(source)).name
            remarks.append(f"the suffix of {name} is not in lower case; other tools will not find it")
    return remarks


def _turned(content: bytes) -> list[str]:
    """Remark on an EXIF orientation, which nobody here applies."""
    with Image.open(io.BytesIO(content)) as picture:
        orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
    if orientation == 1:
        return []
    advice = "turn the pixels if the label is meant turned"
    return [f"EXIF orientation {orientation} is ignored; {advice}"]
