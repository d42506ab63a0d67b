"""Opening of picture files: one limit of their size, and errors that say what a file is."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from densekd.data.picture.identify import what_it_is
from densekd.data.picture.limit import require_size

# Everything that Pillow raises for a damaged or foreign file.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError)

_LOCK = threading.Lock()


@contextmanager
def opened(content: bytes) -> Iterator[Image.Image]:
    """Open a picture from the bytes of its file; its pixels are read later.

    Raises:
        OSError, SyntaxError, ValueError: no picture, a damaged one or one that is too large; the
            text says what the file is.
    """
    try:
        with _open(content) as picture:
            require_size(picture.size)
            yield picture
    except UnidentifiedImageError as error:
        raise ValueError(what_it_is(content)) from error
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def _open(content: bytes) -> Image.Image:
    """Open a picture of any size; Pillow has one limit for the whole process."""
    with _LOCK:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(io.BytesIO(content))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
