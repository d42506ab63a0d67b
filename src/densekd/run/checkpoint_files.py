"""Checkpoints on disk: written whole, with a checksum, two generations kept; the newest sound one."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from typing_extensions import override

from densekd.atomic import atomic, put_aside, remove_leftovers
from densekd.errors import UserError
from densekd.models.checkpoints.sizes import describe_swollen
from densekd.models.checkpoints.unreadable import describe_unreadable
from densekd.models.checkpoints.values import require_finite
from densekd.run.folder import RunFolder
from densekd.seal import damage_of, seal


class SealedCheckpoints(CheckpointIO):
    """Writer and reader of checkpoints for Lightning: atomic, beside their target, with a checksum.

    The one before ``last.ckpt`` is kept as ``previous.ckpt``.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; a reader never sees half of it, nor does a power cut leave one."""
        final = Path(path)
        with atomic(final) as temporary:
            torch.save(checkpoint, temporary)
            seal(temporary)
            if final.name == "last.ckpt" and final.is_file():
                _keep_as_previous(final)

    @override
    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint; nothing in it is executed."""
        return read_checkpoint(Path(path))

    @override
    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def _keep_as_previous(last: Path) -> None:
    """Give the last checkpoint a second name, so that there is a last one at every moment."""
    previous = previous_of(last)
    try:
        with atomic(previous) as temporary:
            os.link(last, temporary)
    except OSError:
        # A file system without second names: a start between the two renamings reads the previous.
        last.replace(previous)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of a training.

    Raises:
        UserError: a damaged one, something else, or a pickle that wants to run code.
    """
    swollen = describe_swollen(path)
    if swollen is not None:
        raise UserError(f"{path}: {swollen}")
    damage = damage_of(path)
    if damage is not None:
        raise UserError(f"{path} is damaged: {damage}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What torch says recommends to run the file's code.
        raise UserError(f"{path}: {describe_unreadable(path, error)}") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"{path}: is no checkpoint of a training; it has no 'state_dict'.")
    return content


def fault_of(path: Path) -> str | None:
    """Return why a training cannot go on from a checkpoint: damage or NaN; None where it can."""
    damage = damage_of(path)
    if damage is not None:
        return damage
    try:
        # Read from the disk as it is needed.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        require_finite(content.get("state_dict", {}), "it")
    except UserError as error:
        return str(error).removeprefix("it: ").rstrip(".")
    except Exception as error:  # a pickle of something else fails in any way there is
        return f"it is no checkpoint of a training ({type(error).__name__})"
    return None


def previous_of(last: Path) -> Path:
    """Return where the checkpoint before the last is."""
    return last.with_name("previous.ckpt")


def sound_checkpoint(run: RunFolder) -> Path | None:
    """Return the newest sound checkpoint; None where there is none."""
    for path in _generations(run):
        if fault_of(path) is None:
            return path
    return None


def newest_checkpoint(run: RunFolder) -> tuple[Path | None, list[str]]:
    """Find the checkpoint that a training goes on from, and put damaged ones aside.

    Returns:
        The newest sound one, None where nothing was saved; a line about each damaged one, which is
        renamed so that it neither is read again nor takes the place of a sound one.

    Raises:
        UserError: there are checkpoints, and all are damaged.
    """
    remove_leftovers(run.last.parent)
    there = _generations(run)
    found = sound_checkpoint(run)
    newer = there if found is None else there[: there.index(found)]
    remarks = [f"{path} is damaged: {fault_of(path)}" for path in newer]
    if newer and found is None:
        raise UserError(
            f"{'; '.join(remarks)}. No sound checkpoint is left: restore one from a copy, or start from the beginning "
            "with --overwrite."
        )
    remarks = [f"{remark}; going on from {found}" for remark in remarks]
    # A folder in the place of an older one would be in the way of the next.
    folders = [path for path in there if path.is_dir() and path not in newer]
    remarks += [f"{path} is damaged: {fault_of(path)}; it is put aside" for path in folders]
    for path in (*newer, *folders):
        put_aside(path)
    return found, remarks


def _generations(run: RunFolder) -> list[Path]:
    """Return the checkpoints that are there, the newest first; the best one is the last resort."""
    return [path for path in (run.last, previous_of(run.last), run.best) if path.exists()]
