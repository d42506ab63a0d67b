"""Files of a folder as people have it: hidden ones left out, linked folders followed, paths of Windows."""

import os
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from densekd.parsers.files import exists


def list_files(folder: Path) -> list[Path]:
    """List the files of a folder and its sub-folders, sorted by path.

    What is hidden is left out, with everything in it: ``._a.png`` and ``.DS_Store`` of macOS,
    ``.ipynb_checkpoints``, and ``__MACOSX`` of its archives. Links to folders are followed; one that leads
    back to a folder above it is not.

    Args:
        folder: may be a link itself.
    """
    return [folder / name for name in list_names(folder)]


def list_names(folder: Path) -> list[str]:
    """List the same files by their paths from the folder, with ``/`` between its sub-folders.

    Texts cost a small part of what paths do: a path is made of what is kept.
    """
    return list(_names(os.fspath(folder), "", ()))


def _names(folder: str, prefix: str, above: tuple[str, ...]) -> Iterator[str]:
    """Yield the files below a folder, with what comes before their names."""
    real = os.path.realpath(folder)
    # A link to a folder above would be followed for ever.
    if real in above:
        return
    with os.scandir(folder) as entries:
        shown = [(entry.name, entry) for entry in entries if not is_hidden(entry.name)]
    # Sorted folder by folder, as paths are: the order of the data does not depend on the file system.
    shown.sort(key=itemgetter(0))
    for name, entry in shown:
        if _is_folder(entry):
            yield from _names(entry.path, f"{prefix}{name}/", (*above, real))
        else:
            yield prefix + name


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is no data: hidden, or made by a file manager."""
    return name.startswith(".") or name == "__MACOSX"


def join_path(folder: Path, name: str) -> Path:
    """Return the place of a file that a list or annotation names, below a folder.

    Tools of Windows write backslashes between folders; where no file has the name as it is written, they
    are read so.
    """
    path = folder / name
    if "\\" not in name or exists(path):
        return path
    return folder / name.replace("\\", "/")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Tell a folder, or a link to one, from a file; a link that leads nowhere is a file to be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False
