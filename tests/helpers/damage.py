"""Damage to files as disks and people do it."""

import shutil
from pathlib import Path

KINDS = ("bit", "half", "zeros", "text", "empty", "folder")


def damage(path: Path, kind: str, place: float = 0.5) -> None:
    """Damage a file.

    Args:
        path: the file; afterwards a folder, if that is asked for.
        kind: one of ``KINDS``.
        place: where in the file a bit is flipped, as a share of its size.
    """
    whole = path.read_bytes()
    if kind == "folder":
        path.unlink()
        path.mkdir()
        (path / "something").write_text("else")
        return
    if kind == "bit":
        index = min(len(whole) - 1, int(len(whole) * place))
        flipped = bytearray(whole)
        flipped[index] ^= 1 << (index % 8)
        path.write_bytes(bytes(flipped))
        return
    content = {
        "half": whole[: len(whole) // 2],
        "zeros": b"\0" * len(whole),
        "text": b"hello, world\n" * 9,
        "empty": b"",
    }
    path.write_bytes(content[kind])


def restored(source: Path, target: Path) -> Path:
    """Return a fresh copy of a folder, in place of what is at ``target``."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target
