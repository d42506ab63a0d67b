"""Checkpoint file: read once, with its weights, its part and its description of itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.checkpoints.containers import Container, read_container, weights_in
from densekd.models.published_files import how_to_get

# What the two networks are called in a distillation checkpoint of SegDistill and mmseg-distiller, of
# MMRazor 0.x and of 1.x.
_PARTS = {
    "student": ("student.", "architecture.model.", "architecture."),
    "teacher": ("teacher.", "distiller.teacher."),
}


@dataclass(frozen=True)
class Checkpoint:
    """Weights and their description.

    Args:
        name: path or name, with ``#teacher`` where that was asked for; for messages.
        container: the content of the file.
        state: the weights of the student, or of the teacher.
    """

    name: str
    container: Container
    state: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read a file.

        Containers: ``.safetensors``, a Lightning checkpoint of ours (its student), and torch's
        pickles, see :mod:`densekd.models.checkpoints.containers`. Of a file that holds student and
        teacher (SegDistill, MMRazor, mmseg-distiller) the student is read, or with ``#teacher``
        after the name the teacher.

        Args:
            path: the file, or a folder with ``model.safetensors`` in it or its ``student/``.

        Raises:
            UserError: no such file, a damaged one, one without tensors, or a pickle that wants to
                run code.
        """
        file, part = split_part(path)
        file = weights_file(file)
        container = read_container(file)
        state = weights_in(container.content, file)
        return cls(str(path), container, _part(state, part, file))

    @classmethod
    def of_model(cls, model: nn.Module, name: str) -> "Checkpoint":
        """Take the weights of a live model, as if they had been read from a file of this name."""
        state = dict(model.state_dict())
        return cls(name, Container(state, {}), state)

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
            return ours.get("package")
        # A .safetensors file: every entry of its header is text.
        if not {"model", "options", "classes"} <= header.keys():
            return None
        described = {}
        for key, value in header.items():
            # This one is the format's own.
            if key == "format":
                continue
            try:
                described[key] = json.loads(value)
            except json.JSONDecodeError as error:
                raise UserError(f"{self.name}: '{key}' in its header is malformed ({error}).") from error
        return described


def _entry(content: Any, key: str) -> Mapping[str, Any] | None:
    """Return a mapping inside a checkpoint, or None."""
    found = content.get(key) if isinstance(content, Mapping) else None
    return found if isinstance(found, Mapping) else None


def split_part(path: Path) -> tuple[Path, str]:
    """Take ``#student`` or ``#teacher`` off a path; the student is meant where neither is there."""
    name, mark, part = path.name.rpartition("#")
    if mark and part in _PARTS:
        return path.with_name(name), part
    return path, "student"


def weights_file(path: Path) -> Path:
    """Return the file of weights that a path means: itself, or ``model.safetensors`` of a folder.

    Raises:
        UserError: there is none; of a run that was interrupted the message names its checkpoints.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder.{how_to_get(path)}")
    for inside in (path / "model.safetensors", path / "student" / "model.safetensors"):
        if inside.is_file():
            return inside
    if (path / "config.json").is_file():
        raise UserError(f"{path}: no model.safetensors beside config.json; part of it is missing.")
    raise UserError(f"{path}: {missing_package(path)}")


def missing_package(folder: Path) -> str:
    """Say why a folder holds no student package, and what to do."""
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


def _part(state: dict[str, Tensor], part: str, path: Path) -> dict[str, Tensor]:
    """Return one network of a file that holds two; of any other file everything."""
    for prefix in _PARTS[part]:
        found = {}
        for key, value in state.items():
            if key.startswith(prefix):
                found[key.removeprefix(prefix)] = value
        if found:
            return found
    if part == "teacher":
        raise UserError(f"{path}: holds no teacher beside a student; leave #teacher away.")
    return state
