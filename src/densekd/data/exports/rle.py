"""Run-length encodings of masks: COCO's, of columns, and Label Studio's brushes, of RGBA pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from densekd.data.picture.limit import require_size


def coco_mask(counts: Any, size: Sequence[int]) -> np.ndarray:
    """Decode COCO's runs, a list or its compressed text: bool ``[H, W]``.

    Args:
        counts: lengths of runs down the columns, the first of pixels that are not in the mask.
        size: height and width.

    Raises:
        ValueError: runs that do not fill the mask.
    """
    height, width = _decodable(size)
    if isinstance(counts, str | bytes):
        counts = _uncompressed(counts)
    runs = np.asarray(counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"the runs of its mask do not fill {width} x {height} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    mask: np.ndarray = np.repeat(inside, runs).reshape(width, height).T
    return mask


def _uncompressed(text: str | bytes) -> list[int]:
    """Return the run lengths of COCO's compressed text.

    Each number has five bits a letter, the lowest first; the sixth bit says that more follow. From the
    fourth number on it is the difference to the one before the last.
    """
    letters = text.encode() if isinstance(text, str) else text
    runs: list[int] = []
    number, shift = 0, 0
    for letter in letters:
        bits = letter - 48
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        # The highest bit of the last five is the sign.
        if bits & 16:
            number -= 1 << shift
        if len(runs) > 2:
            number += runs[-2]
        runs.append(number)
        number, shift = 0, 0
    return runs


def brush_mask(rle: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Decode a brush of Label Studio (thi.ng's rle-pack of RGBA bytes): bool ``[H, W]``, where alpha is not 0.

    Args:
        rle: bytes.
        size: (height, width) of the image.

    Raises:
        ValueError: bytes that are no such mask, or of another size.
    """
    height, width = _decodable(size)
    values = _words(np.unpackbits(np.array(rle, np.uint8)).tobytes(), 4 * height * width)
    if len(values) != 4 * height * width:
        raise ValueError(f"its brush has {len(values)} bytes, and {width} x {height} pixels have {4 * height * width}")
    mask: np.ndarray = values.reshape(height, width, 4)[..., 3] > 0
    return mask


def _decodable(size: Sequence[int]) -> tuple[int, int]:
    """Return (height, width) of a mask that is decoded; one of any size could be claimed."""
    height, width = size
    if not (isinstance(height, int) and isinstance(width, int)) or height < 1 or width < 1:
        raise ValueError(f"the size of its mask must be height and width in whole pixels, not {size!r:.40}")
    require_size((width, height))
    return height, width


def _words(bits: bytes, most: int) -> np.ndarray:
    """Unpack words of a stream of bits, a byte for each bit.

    Raises:
        ValueError: the stream breaks off, or claims more than ``most`` words.
    """
    # As text of 0 and 1, which int() reads.
    stream = bits.translate(bytes([48, 49]) + bytes(254))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(stream[place - count : place], 2)

    # Number of words, bits of a word, and bits of each of four lengths of runs.
    length = take(32)
    if length > most:
        raise ValueError(f"its brush has {length} bytes, and its image has {most}")
    word = take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    words = np.zeros(length, np.uint8)
    done = 0
    while done < length:
        same = take(1)
        run = take(sizes[take(2)]) + 1
        if same:
            words[done : done + run] = take(word)
        else:
            for k in range(done, min(done + run, length)):
                words[k] = take(word)
        done += run
    return words
