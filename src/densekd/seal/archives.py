"""Checksums inside files: the archives of torch carry theirs as the archive's comment."""

import hashlib
import struct
import zipfile
from pathlib import Path

# The end of a zip archive without a comment is 22 bytes; the last two are the comment's length.
_END_OF_ZIP = b"PK\x05\x06"
_PREFIX = b"densekd-sha256:"
_COMMENT = len(_PREFIX) + 64
_BLOCK = 1 << 20


def seal(path: Path) -> None:
    """Write the checksum of a zip archive, as ``torch.save`` makes one, into its comment.

    Args:
        path: an archive without a comment.

    Raises:
        ValueError: no such archive.
    """
    with path.open("r+b") as file:
        file.seek(-22, 2)
        end = file.read()
        if not end.startswith(_END_OF_ZIP) or end[-2:] != b"\0\0":
            raise ValueError(f"{path} is no zip archive without a comment")
        # The checksum covers everything before it, the comment's length as it will be included.
        file.seek(-2, 2)
        file.write(struct.pack("<H", _COMMENT))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, 2)
        file.write(_PREFIX + digest.encode())


def damage_of(path: Path) -> str | None:
    """Return what is wrong with an archive of ``torch.save``; None for a sound one.

    Archives without our checksum are compared with the checksums that zip keeps of each part.
    """
    if path.is_dir():
        return "a folder stands in its place"
    try:
        size = path.stat().st_size
        if size == 0:
            return "it is empty"
        with path.open("rb") as file:
            file.seek(max(0, size - _COMMENT))
            comment = file.read()
        if comment.startswith(_PREFIX):
            sound = _digest(path, size - _COMMENT) == comment.removeprefix(_PREFIX)
            return None if sound else "its checksum does not match its content"
        # A checksum that does not end with the file was cut.
        if _PREFIX in comment:
            return "its end is missing"
        with zipfile.ZipFile(path) as archive:
            # torch writes zeros where it was told to compute no checksums.
            kept = any(entry.CRC for entry in archive.infolist())
            broken = archive.testzip() if kept else None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError):
        return "it is no whole archive of torch"
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return None if broken is None else f"its part {broken} is damaged"


def _digest(path: Path, length: int) -> bytes:
    """Return the SHA-256 of the first ``length`` bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0:
            block = file.read(min(_BLOCK, length))
            if not block:
                break
            digest.update(block)
            length -= len(block)
    return digest.hexdigest().encode()
