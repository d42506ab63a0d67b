"""Sizes that a checkpoint declares against the bytes that its file has: what would fill the memory is refused."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

# A file may unfold to twice its size, and to so many bytes in any case.
_FREE = 200_000_000
# Values of the plain containers that are looked through.
_MOST_VALUES = 5_000_000


def allowed_bytes(size: int) -> int:
    """Return how many bytes of memory the content of a file of ``size`` bytes may take."""
    return 2 * size + _FREE


def describe_swollen(path: Path) -> str | None:
    """Say that an archive declares parts far larger than the file, as a compressed bomb does; None otherwise."""
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        # Whoever reads it says what is wrong.
        return None
    size = path.stat().st_size
    if declared <= allowed_bytes(size):
        return None
    return (
        f"refused. Its {size / 1e6:.1f} MB unpack to {declared / 1e6:.0f} MB, which would fill the memory; torch "
        "writes checkpoints without compression. Save it again by torch.save."
    )


def require_bounded(content: Any, size: int) -> None:
    """Refuse tensors that claim far more elements than their file has bytes: one value repeated endlessly.

    Args:
        content: what was read.
        size: of the file, in bytes.

    Raises:
        ValueError: there is one.
    """
    seen: set[int] = set()
    todo: list[Any] = [content]
    total = 0
    while todo and len(seen) < _MOST_VALUES:
        one = todo.pop()
        if id(one) in seen:
            continue
        if isinstance(one, torch.Tensor):
            seen.add(id(one))
            total += _bytes_of(one)
        elif isinstance(one, Mapping):
            seen.add(id(one))
            todo += one.values()
        elif isinstance(one, list | tuple):
            seen.add(id(one))
            todo += one
    if total > allowed_bytes(size):
        raise ValueError(f"its tensors claim {total / 1e6:.0f} MB, and the file has {size / 1e6:.1f} MB")


def _bytes_of(tensor: torch.Tensor) -> int:
    """Return the bytes of a tensor that is written out; of views of one storage each counts."""
    if tensor.layout != torch.strided or tensor.device.type == "meta":
        return 0
    dense = tensor.numel() * tensor.element_size()
    # A part of a storage is no larger than it, however many parts are tied.
    return dense if dense > tensor.untyped_storage().nbytes() else 0
