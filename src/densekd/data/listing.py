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
    return [folder / name for name in list_names(folder)]


def list_names(folder: Path) -> list[str]:
    """List the same files by their paths from the folder, with ``/`` between its sub-folders.

    Texts cost a small part of what paths do: a path is made of what is kept.
    """
    names: list[str] = []
    _add_names(names, os.fspath(folder), "", ())
    return names


def _add_names(names: list[str], folder: str, prefix: str, above: tuple[str, ...]) -> None:
    """Add the files below a folder, with what comes before their names."""
    real = os.path.realpath(folder)
    # A link to a folder above would be followed for ever.
    if real in above:
        return
    here: list[str] = []
    folders: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            here.append(entry.name)
            if _is_folder(entry):
                folders.add(entry.name)
    # Sorted folder by folder, as paths are: the order of the data does not depend on the file system.
    here = [name for name in here if not is_hidden(name)]
    here.sort()
    if not folders:
        names += [prefix + name for name in here] if prefix else here
        return
    for name in here:
        if name in folders:
            _add_names(names, f"{folder}/{name}", f"{prefix}{name}/", (*above, real))
        else:
            names.append(prefix + name)


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
