"""Atomic file writes: a reader never sees half of a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
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
