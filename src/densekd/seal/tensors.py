"""Checksum inside a ``.safetensors`` file: an entry of its header that covers every other byte."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from densekd.atomic import atomic

# Entry of the header.
CHECKSUM = "densekd-sha256"
_NONE = "0" * 64
_ENTRY = re.compile(rb'"densekd-sha256":"([^"]*)"')
_LONGEST_HEADER = 100_000_000
_BLOCK = 1 << 20


def save_tensors(state: Mapping[str, Tensor], path: Path, header: Mapping[str, str] | None = None) -> None:
    """Write tensors and their checksum, atomically.

    Args:
        state: contiguous tensors without shared memory.
        path: the ``.safetensors`` file.
        header: text that it holds besides; without it the same tensors are the same bytes.
    """
    with atomic(path) as temporary:
        save_file(dict(state), temporary, {**(header or {}), CHECKSUM: _NONE})
        start, _ = _entry(temporary)
        digest = _digest(temporary, start)
        with temporary.open("r+b") as file:
            file.seek(start)
            file.write(digest.encode())


def has_checksum(path: Path) -> bool:
    """Tell whether a ``.safetensors`` file was written by :func:`save_tensors`."""
    try:
        _, digest = _entry(path)
    except OSError:
        return False
    return digest is not None


def damage_of_tensors(path: Path) -> str | None:
    """Return what is wrong with a ``.safetensors`` file; None for a sound one.

    Of a file without our checksum the header must fit the file.
    """
    if path.is_dir():
        return "a folder stands in its place"
    try:
        unfit = _misfit(path)
        if unfit is not None:
            return unfit
        start, digest = _entry(path)
        if digest is None or digest == _digest(path, start):
            return None
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return "its checksum does not match its content"


def _misfit(path: Path) -> str | None:
    """Compare what the header says with the file: its own length, and where the tensors end."""
    size = path.stat().st_size
    if size == 0:
        return "it is empty"
    header = _header(path)
    if header is None:
        return "it does not begin with the header of a .safetensors file"
    try:
        content = json.loads(header)
        entries = {key: value for key, value in content.items() if key != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "its header is malformed"
    needed = 8 + len(header) + end
    if needed != size:
        return f"its header describes {needed} bytes, and the file has {size}"
    return None


def _header(path: Path) -> bytes | None:
    """Return the header, JSON behind its length in eight bytes; None where no file can have such a length."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LONGEST_HEADER, path.stat().st_size - 8):
            return None
        return file.read(length)


def _entry(path: Path) -> tuple[int, str | None]:
    """Return where our checksum stands in the file, and what it says; None where there is none."""
    header = _header(path) or b""
    found = _ENTRY.search(header)
    if found is None:
        return 0, None
    return 8 + found.start(1), found[1].decode("utf-8", "replace")


def _digest(path: Path, start: int) -> str:
    """Return the SHA-256 of a file as it was before its checksum was filled in."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(start))
        digest.update(_NONE.encode())
        file.seek(start + len(_NONE))
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
