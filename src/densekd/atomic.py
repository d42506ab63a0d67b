"""Atomic file writes: a reader never sees half of a file."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Bytes of a name that leave room for what is added to it; most file systems allow 255.
_LONG = 120


def short_name(name: str) -> str:
    """Return a name that still fits a file system when something is added: a long one ends in a hash of itself.

    Args:
        name: of a file, without its suffix.
    """
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= _LONG:
        return name
    digest = hashlib.blake2b(encoded, digest_size=4).hexdigest()
    # A character of several bytes may be cut in two.
    beginning = encoded[: _LONG - len(digest) - 1].decode("utf-8", "ignore")
    return f"{beginning}-{digest}"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary sibling, move it over ``path`` on success.

    On failure the temporary file is removed and ``path`` stays as it was.

    Args:
        path: the final file. Its folder is made when missing.

    Yields:
        The temporary path to write to; it keeps the suffix of ``path`` because some writers choose
        a format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two processes that write the same file apart.
    temporary = path.with_name(f".{short_name(path.stem)}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        # Bytes reach the disk before the name does, or a power cut could leave an empty file.
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
