"""Files of a folder as people have it: hidden ones left out, linked folders followed, paths of Windows."""

import os
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
    found: list[Path] = []
    todo: list[tuple[Path, tuple[str, ...]]] = [(folder, ())]
    while todo:
        place, above = todo.pop()
        real = os.path.realpath(place)
        # A link to a folder above would be followed for ever.
        if real in above:
            continue
        for entry in os.scandir(place):
            if is_hidden(entry.name):
                continue
            path = place / entry.name
            if _is_folder(entry):
                todo.append((path, (*above, real)))
            else:
                found.append(path)
    # Sorted, so that the order of the data does not depend on the file system.
    return sorted(found)


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
