"""NumPy's arrays and scalars in pickles, read as data: plain numbers and text, never objects.

A pickle builds an array in steps (an empty one, a dtype, then shape and bytes). NumPy's own functions for
these steps make arrays of pointers out of bytes; the stand-ins here know a closed list of dtypes, and
compare the length of the bytes with the shape.
"""

import math
import pickle
import re
from typing import Any, SupportsIndex

import numpy as np

# Booleans, integers, floats, complex numbers, and text of a given length.
_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SU]\d{1,6})")
_ORDERS = ("<", ">", "=", "|")


class PickledDtype:
    """Stand in for ``numpy.dtype`` while a pickle is read.

    Args:
        code: ``f8`` and the like.

    Raises:
        UnpicklingError: any other than numbers and text.
    """

    def __init__(self, code: Any, *_: Any) -> None:
        text = code.decode("latin-1") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _PLAIN.fullmatch(text):
            raise _refused(f"numpy.dtype({text!r})")
        try:
            self.made = np.dtype(text)
        except TypeError as error:
            raise _refused(f"numpy.dtype({text!r})") from error

    def __setstate__(self, state: Any) -> None:
        """Take the byte order; sizes, fields and flags are those of the code."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        order = order.decode("latin-1") if isinstance(order, bytes) else order
        if order not in _ORDERS:
            raise _refused("numpy.dtype with an unknown byte order")
        if order in ("<", ">"):
            self.made = self.made.newbyteorder(order)  # type: ignore[arg-type]


class PickledArray(np.ndarray):
    """Array of a pickle: empty until its state comes."""

    def __new__(cls, *_: Any, **__: Any) -> "PickledArray":
        """Make an empty array, whatever a pickle asks for."""
        return super().__new__(cls, (0,), np.uint8)

    def __setstate__(self, state: Any, /) -> None:
        """Take shape and bytes.

        Raises:
            UnpicklingError: objects, or bytes that do not fit the shape.
        """
        if not isinstance(state, tuple) or len(state) != 5:
            raise _refused("numpy.ndarray with an unknown state")
        _, shape, kind, fortran, content = state
        content = as_bytes(content)
        if not isinstance(kind, PickledDtype) or not _is_shape(shape):
            raise _refused("numpy.ndarray with an unknown dtype or shape")
        if math.prod(shape) * kind.made.itemsize != len(content):
            raise _refused("numpy.ndarray whose bytes do not fit its shape")
        super().__setstate__((1, shape, kind.made, bool(fortran), content))  # type: ignore[arg-type]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Be pickled as an array of NumPy's own class."""
        return self.view(np.ndarray).__reduce_ex__(protocol)


def empty_array(*_: Any) -> PickledArray:
    """Stand in for NumPy's ``_reconstruct``."""
    return PickledArray()


def scalar(kind: Any, content: Any = None, *_: Any) -> Any:
    """Stand in for NumPy's ``scalar``: a number or text.

    Raises:
        UnpicklingError: objects, or bytes that do not fit the dtype.
    """
    content = as_bytes(content)
    if not isinstance(kind, PickledDtype) or len(content) != kind.made.itemsize:
        raise _refused("numpy scalar of an unknown dtype")
    # Text without any character has no bytes.
    return np.frombuffer(content, kind.made, 1)[0] if content else kind.made.type()


def as_bytes(content: Any) -> bytes:
    """Return the bytes of an array; Python 2 wrote them as text.

    Raises:
        UnpicklingError: something else, as the list of an array of objects.
    """
    if isinstance(content, str):
        try:
            return content.encode("latin-1")
        except UnicodeEncodeError as error:
            raise _refused("numpy.ndarray whose content is text") from error
    if not isinstance(content, bytes):
        raise _refused("numpy.ndarray of objects")
    return content


def _is_shape(shape: Any) -> bool:
    if not isinstance(shape, tuple) or len(shape) > 32:
        return False
    return all(type(size) is int and size >= 0 for size in shape)


def _refused(what: str) -> pickle.UnpicklingError:
    # In the words that torch has for a class that is not allowed.
    return pickle.UnpicklingError(f"Unsupported global: GLOBAL {what.replace(' ', '_')} is not read")
