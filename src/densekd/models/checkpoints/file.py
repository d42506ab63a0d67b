"""Checkpoint file: read once, with its weights, its part and its description of itself."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.checkpoints.containers import INDEX_SUFFIX, Container, read_container
from densekd.models.checkpoints.views import PARTS, View, main_view, named_view
from densekd.models.checkpoints.weight_sets import WeightSet, find_sets, holds_swapped_average, is_average
from densekd.models.published_files import how_to_get
from densekd.seal.tensors import CHECKSUM

# Weights in a folder, in order of preference; the last two are of several files.
_WEIGHTS = (
    "model.safetensors",
    "student/model.safetensors",
    "pytorch_model.bin",
    f"model.safetensors{INDEX_SUFFIX}",
    f"pytorch_model.bin{INDEX_SUFFIX}",
)
_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.(safetensors|bin)")
_SHOWN = 6


@dataclass(frozen=True)
class Checkpoint:
    """Weights and their description.

    Args:
        name: path or name, with ``#teacher`` where that was asked for; for messages.
        container: the content of the file.
        state: the weights of the student, or of the part that was asked for.
        sets: all sets of weights of the file, the one that is meant first; of a file of which a part
            was asked for that part alone.
        view: how ``state`` was found in them.
    """

    name: str
    container: Container
    state: dict[str, Tensor]
    sets: tuple[WeightSet, ...] = ()
    view: View | None = None

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read a file.

        Containers: ``.safetensors``, an index of several, a Lightning checkpoint of ours (its
        student), and torch's pickles, see :mod:`densekd.models.checkpoints.containers`. Of a file
        that holds student and teacher (SegDistill, MMRazor, mmseg-distiller) the student is read, of
        one with an average beside the weights (EMA) the weights; ``#teacher``, ``#ema`` or any other
        key or prefix after the name takes what it names.

        Args:
            path: the file, or a folder with ``model.safetensors`` in it or its ``student/``.

        Raises:
            UserError: no such file, a damaged one, one without tensors, a part that it does not
                have, or a pickle that wants to run code.
        """
        file, part = split_part(path)
        file = weights_file(file)
        container = read_container(file)
        sets = _require_sets(container.content, file)
        view = _choose(sets, part, container.content, file)
        # Only what was asked for may be loaded.
        if part:
            sets = [WeightSet(view.place, view.state)]
        return cls(str(path), container, view.state, tuple(sets), view)

    @classmethod
    def of_model(cls, model: nn.Module, name: str) -> "Checkpoint":
        """Take the weights of a live model, as if they had been read from a file of this name."""
        state = dict(model.state_dict())
        return cls(name, Container(state, {}), state)

    @property
    def all_sets(self) -> tuple[WeightSet, ...]:
        """All sets of weights; of a live model the one that there is."""
        return self.sets or (WeightSet("", self.state),)

    def notes(self, view: View | None = None) -> tuple[str, ...]:
        """Say what was taken and what was left, where a file holds more than one network's weights.

        Args:
            view: what was loaded; None: ``state``.
        """
        view = view or self.view
        if view is None:
            return ()
        return _notes(self, view)

    @property
    def meta(self) -> Mapping[str, Any]:
        """OpenMMLab's ``meta``: classes, epoch, the text of the configuration; possibly empty."""
        meta = _entry(self.container.content, "meta")
        return {} if meta is None else meta

    @property
    def package(self) -> Mapping[str, Any] | None:
        """Entries of :class:`densekd.models.package.PackageConfig`; None in a file of others.

        Raises:
            UserError: a malformed header.
        """
        content, header = self.container
        # A checkpoint of a training.
        ours = _entry(content, "densekd")
        if ours is not None:
            return _package_in(ours, self.name)
        # A .safetensors file: every entry of its header is text.
        if not {"model", "options", "classes"} <= header.keys():
            return None
        described = {}
        for key, value in header.items():
            # These two are the file's own.
            if key in ("format", CHECKSUM):
                continue
            try:
                described[key] = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{self.name}: '{key}' in its header is malformed ({error}).") from error
        return described


def _entry(content: Any, key: str) -> Mapping[str, Any] | None:
    """Return a mapping inside a checkpoint, or None."""
    found = content.get(key) if isinstance(content, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _package_in(ours: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return what a checkpoint of a training says of its model.

    Raises:
        UserError: something else is in its place.
    """
    found = ours.get("package")
    if found is not None and not isinstance(found, Mapping):
        raise UserError(f"{name}: what it says of its model is a {type(found).__name__}, not a mapping.")
    return found


def split_part(path: Path) -> tuple[Path, str]:
    """Take ``#teacher``, ``#ema``, ``#model``, ... off a path; nothing where no part is named."""
    name, mark, part = path.name.rpartition("#")
    # A file may have the sign in its own name.
    if not (mark and name and part) or path.exists():
        return path, ""
    return path.with_name(name), part


def weights_file(path: Path) -> Path:
    """Return the file of weights that a path means: itself, or ``model.safetensors`` of a folder.

    Raises:
        UserError: there is none; of a run that was interrupted the message names its checkpoints.
    """
    if path.is_file():
        return _whole(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder.{how_to_get(path)}")
    for inside in _WEIGHTS:
        if (path / inside).is_file():
            return path / inside
    if (path / "config.json").is_file():
        raise UserError(f"{path}: no model.safetensors beside config.json; part of it is missing.")
    raise UserError(f"{path}: {missing_package(path)}")


def missing_package(folder: Path) -> str:
    """Say why a folder holds no student package, and what to do."""
    if (folder / ".metadata").is_file():
        return (
            "a distributed checkpoint (torch.distributed.checkpoint). Make one file of it: python -m "
            f"torch.distributed.checkpoint.format_utils dcp_to_torch {folder} weights.pth"
        )
    checkpoint = folder / "checkpoints" / "last.ckpt"
    if checkpoint.is_file():
        return (
            "this run was interrupted: it has checkpoints but no student/ yet. Finish it with "
            f"'densekd train {folder} --resume', or open {checkpoint} as it is."
        )
    if (folder / "recipe.yaml").is_file():
        return (
            "this run stopped before its first checkpoint, so there are no weights yet. Finish it "
            f"with 'densekd train {folder} --resume'."
        )
    return "no config.json and model.safetensors in this folder or its student/, so it is no student package."


def _whole(path: Path) -> Path:
    """Return the index of one file of several, or the file.

    Raises:
        UserError: one of several files whose index is not beside it.
    """
    if not _SHARD.fullmatch(path.name):
        return path
    stem = path.name.rsplit("-", 3)[0]
    index = path.with_name(f"{stem}{path.suffix}{INDEX_SUFFIX}")
    if index.is_file():
        return index
    raise UserError(f"{path}: is one of several files; the index that names them all, {index.name}, is not beside it.")


def _require_sets(content: Any, path: Path) -> list[WeightSet]:
    """List the sets of weights of a file.

    Raises:
        UserError: there are none.
    """
    sets = find_sets(content)
    if sets:
        return sets
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a state dict.")
    some = ", ".join(map(str, list(content)[:5]))
    raise UserError(f"{path}: holds no tensors (but {some or 'nothing'}).")


def _choose(sets: list[WeightSet], part: str, content: Any, path: Path) -> View:
    """Find the part of a file that is asked for.

    Raises:
        UserError: it has none of this name.
    """
    if part in ("", "student"):
        return main_view(sets[0])
    # mmengine and Lightning swap the two when they save.
    if part == "ema" and holds_swapped_average(content):
        return main_view(sets[0])
    # A distillation's two networks in one set have names of their own.
    if part == "teacher":
        view = main_view(sets[0], part)
        if part in view.prefix.split("."):
            return view
    found = named_view(sets, part)
    if found is None and part == "teacher":
        raise UserError(f"{path}: holds no teacher beside a student; leave #teacher away.")
    if found is None:
        raise UserError(f"{path}: holds no part '{part}'; it has {_list_parts(sets)}.")
    # What wrappers put before the names below is taken off, too.
    inner = main_view(WeightSet(found.place, found.state))
    left = (*found.left, *(found.prefix + key for key in inner.left))
    return View(found.place, found.prefix + inner.prefix, inner.state, left)


def _list_parts(sets: Sequence[WeightSet]) -> str:
    """List places and first prefixes of a file, as they may follow ``#``."""
    parts: list[str] = []
    for found in sets:
        if found.place:
            parts.append(found.place)
        parts += [key.partition(".")[0] for key in found.state if "." in key]
    distinct = list(dict.fromkeys(parts))
    more = f" and {len(distinct) - _SHOWN} more" if len(distinct) > _SHOWN else ""
    return f"{', '.join(distinct[:_SHOWN]) or 'no parts with names'}{more}"


def _notes(checkpoint: Checkpoint, view: View) -> tuple[str, ...]:
    """Say which weights were taken where there are averages or other networks, and what is left over."""
    path, part = split_part(Path(checkpoint.name))
    what = f"'{view.name}'" if view.name else "the weights"
    if part == "ema":
        return (f"{path}: {what} was read, an average of the weights (EMA), as asked.",)
    if part:
        return ()
    if holds_swapped_average(checkpoint.container.content):
        other = next((found.place for found in checkpoint.sets if found.place != view.place), "")
        return (
            f"{path}: {what} was read, which is the average (EMA) as this project saves it; {path}#{other} takes the "
            "weights that were trained.",
        )
    averages = _averages(checkpoint, view)
    notes = []
    if averages and not is_average(view.name):
        notes.append(
            f"{path}: {what} was read; an average of the weights (EMA) is beside it: {path}#{averages[0]} takes that."
        )
    elif is_average(view.name):
        notes.append(f"{path}: {what} was read, an average of the weights (EMA); the file holds no others.")
    if any(key.startswith("ema_") and "." not in key for key in view.left):
        notes.append(f"{path}: {what} was read, which is the average (EMA) as mmcv saves it; 'ema_*' was left.")
    if "n_averaged" in view.left:
        notes.append(f"{path}: the weights are the average of a training (AveragedModel).")
    left = [key for key in view.left if not _is_known(key)]
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        notes.append(f"{path}: {what} was read; left over: {', '.join(left[:_SHOWN])}{more}.")
    return tuple(notes)


def _averages(checkpoint: Checkpoint, view: View) -> list[str]:
    """Name the averages beside a view: of other sets, and under other prefixes of its own."""
    found = [other.place for other in checkpoint.sets if is_average(other.place)]
    for key in view.left:
        head, _, _ = key.partition(".")
        if is_average(head) and "." in key:
            found.append(head)
    return list(dict.fromkeys(found))


def _is_known(key: str) -> bool:
    """Return True for what is left over of a file on purpose and said elsewhere, or is of no use."""
    head = key.partition(".")[0]
    return key == "n_averaged" or is_average(head) or key.startswith((*PARTS["teacher"], *PARTS["student"]))
