"""Opening of picture files: a closed list of decoders, one limit of their size, and errors that say what a file is."""

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from densekd.data.picture.identify import what_it_is
from densekd.data.picture.limit import require_size
from densekd.data.picture.png import require_png_checksums

# Everything that Pillow raises for a damaged or foreign file.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError)

# Of all that Pillow opens; of the others some start programs (EPS: Ghostscript), or know no pixels.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF")

# What its readers raise besides of headers that are damaged.
_DAMAGED = (TypeError, KeyError, IndexError, AttributeError, OverflowError, ZeroDivisionError, struct.error)

_LOCK = threading.Lock()


@contextmanager
def opened(content: bytes | BinaryIO) -> Iterator[Image.Image]:
    """Open a picture; its pixels are read later.

    Args:
        content: the bytes of its file, or the file, of which only the header is read here.

    Raises:
        OSError, SyntaxError, ValueError: no picture, a damaged one or one that is too large; the
            text says what the file is.
    """
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        if isinstance(content, bytes):
            require_png_checksums(content)
        with _open(stream) as picture:
            require_size(picture.size)
            yield picture
    except UnidentifiedImageError as error:
        stream.seek(0)
        raise ValueError(what_it_is(stream.read())) from error
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def _open(stream: BinaryIO) -> Image.Image:
    """Open a picture of any size; Pillow has one limit for the whole process."""
    with _LOCK:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(stream, formats=FORMATS)
        except _DAMAGED as error:
            raise ValueError(f"its header is damaged ({type(error).__name__}: {error})") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit
