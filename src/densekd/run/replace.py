"""Replacement of a run folder: the new one grows beside the old, and takes its place in two renamings.

Of ``runs/x`` the new run is ``runs/.x.new`` until its first checkpoint stands; the old one is
``runs/.x.old`` while it is removed. A process may be killed at any moment: :func:`settle` finds what
it left, and finishes it. At every moment one of the two runs is whole.
"""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from densekd.errors import UserError
from densekd.run import lock
from densekd.run.contents import foreign_files, is_made_by_densekd, is_used, mark, remove

_NEW = re.compile(r"\.(.+)\.new")
Tell = Callable[[str], None]


def say_nothing(line: str) -> None:
    """Keep what people should know from them: nobody is there to read it."""


def new_of(folder: Path) -> Path:
    """Return where the run that will replace a folder is prepared."""
    return _beside(folder, "new")


def final_of(folder: Path) -> Path:
    """Return the folder that a run is for: of one that is prepared, the one that it will replace."""
    found = _NEW.fullmatch(folder.name)
    return folder if found is None else folder.with_name(found[1])


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder itself and no link to one."""
    return path.is_dir() and not path.is_symlink()


def has_checkpoint(folder: Path) -> bool:
    """Return whether the first checkpoint of a run stands."""
    return (folder / "checkpoints" / "last.ckpt").is_file()


def swap(folder: Path, tell: Tell) -> None:
    """Put the prepared run in the place of the old one, and remove the old one.

    Until this process ends the prepared run's former name is a link to it, for loggers that write by names.

    Args:
        folder: of the old run.
        tell: says to people what they should know.

    Raises:
        OSError: the folders cannot be renamed; all is as it was.
    """
    new, old = new_of(folder), _beside(folder, "old")
    if old.exists():
        discard(old, tell)
    had_old = folder.exists()
    if had_old:
        folder.replace(old)
        lock.moved(folder, old)
    try:
        new.replace(folder)
    except BaseException:
        if had_old:
            old.replace(folder)
            lock.moved(old, folder)
        raise
    lock.moved(new, folder)
    # Where there are no links, the swap waits for the end of the training.
    with suppress(OSError):
        new.symlink_to(folder.name, target_is_directory=True)
    if had_old:
        discard(old, tell)


def require_replaceable(folder: Path) -> None:
    """Check that a folder is a run's and nothing else, so that nobody loses a file by its replacement.

    Raises:
        UserError: it is something else, holds something else, or cannot be renamed.
    """
    if folder.is_symlink():
        raise UserError(f"{folder} is a link to {folder.resolve()}; name that folder itself with --run.")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UserError(f"{folder} is, or holds, the current folder; it is not overwritten. Leave it, or choose --run.")
    if folder.is_mount():
        raise UserError(f"{folder} is a disk of its own and cannot be replaced; choose a folder in it with --run.")
    if not is_made_by_densekd(folder):
        reason = "was not made by a training" if (folder / "recipe.yaml").is_file() else "holds no recipe.yaml"
        raise UserError(f"{folder} {reason}, so it is no run folder; it is not overwritten.")
    foreign = foreign_files(folder)
    if foreign:
        raise UserError(
            f"{folder} holds what no run writes: {listed(foreign)}. It is not overwritten: move them elsewhere, or "
            "choose another --run."
        )
    if not os.access(folder.absolute().parent, os.W_OK):
        raise UserError(f"{folder.absolute().parent} cannot be written to, so that {folder} cannot be replaced.")


def mend(folder: Path, tell: Tell) -> None:
    """Finish what a killed process left of a replacement, where nobody is at work.

    Args:
        folder: of the run.
        tell: says to people what was found.

    Raises:
        UserError: another training runs in it, or beside it to replace it.
    """
    new, old = new_of(folder), _beside(folder, "old")
    if not (new.exists() or new.is_symlink() or old.exists()):
        return
    for place in (folder, new):
        lock.require_unlocked(place)
    settle(folder, tell)


def mend_missing(name: str, tell: Tell) -> None:
    """Bring back the run folder of a name that is missing, where a process was killed while it replaced it.

    Args:
        name: what a person calls a recipe: a run folder, a file or anything else.
        tell: says to people what was found.
    """
    # Too long a name, for instance, is no folder of a run.
    try:
        is_there = Path(name).exists()
    except (OSError, ValueError):
        return
    if not is_there:
        mend(Path(name), tell)


def settle(folder: Path, tell: Tell) -> None:
    """Finish what a killed process left of a replacement; nobody else may be at work there.

    Args:
        folder: of the run, which may be missing between the two renamings.
        tell: says to people what was found.
    """
    new, old = new_of(folder), _beside(folder, "old")
    if new.is_symlink() and new.readlink() == Path(folder.name):
        new.unlink()
    # Killed before anything was written.
    if is_folder(new) and not is_used(new):
        remove(new)
    if not folder.exists():
        # Killed between the two renamings: go on with the second, or take the first one back.
        if is_folder(new) and has_checkpoint(new):
            new.replace(folder)
            tell(f"{folder}: its replacement was interrupted; the new run is in place now.")
        elif is_folder(old):
            old.replace(folder)
            tell(f"{folder}: its replacement was interrupted; the old run is back in its place.")
    if is_folder(old):
        discard(old, tell)


def discard(old: Path, tell: Tell) -> None:
    """Remove a run that was replaced; one that cannot be, or holds anything else, is kept and named.

    Args:
        old: its folder.
        tell: says to people where it is.
    """
    if not is_used(old):
        # Killed behind the last of its files.
        shutil.rmtree(old, ignore_errors=True)
        return
    foreign = foreign_files(old)
    if foreign or not is_made_by_densekd(old):
        kept = _free_name(old)
        old.replace(kept)
        lock.moved(old, kept)
        tell(f"{kept}: the old run was kept: it holds what no run writes: {listed(foreign)}.")
        return
    try:
        # Marked before the first file goes, so that half of it is known for what it is.
        mark(old)
        remove(old)
    except OSError as error:
        tell(f"{old}: the old run cannot be removed ({error.strerror or error}); the next start tries again.")


def set_aside(folder: Path, tell: Tell) -> None:
    """Give a hidden folder a name that people see, and say which."""
    kept = _free_name(folder)
    folder.replace(kept)
    tell(f"{kept}: kept; it was to replace a run that is gone, and was interrupted.")


def listed(names: list[str]) -> str:
    """Join names of files for a message, the first few of many."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _free_name(old: Path) -> Path:
    """Return a name for an old run that people see and that is not taken."""
    name = old.name.removeprefix(".")
    kept, number = old.with_name(name), 1
    while kept.exists():
        number += 1
        kept = old.with_name(f"{name}-{number}")
    return kept


def _beside(folder: Path, what: str) -> Path:
    """Return a hidden sibling of a folder."""
    # "." and ".." have no name to add to.
    if folder.name in ("", ".."):
        folder = folder.resolve()
    return folder.with_name(f".{folder.name}.{what}")
