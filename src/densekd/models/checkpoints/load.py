"""Read a state dict from any container we know, and load it in full or not at all."""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from densekd.errors import UserError

_SHOWN = 8
# What the two networks are called in a distillation checkpoint: SegDistill and mmseg-distiller, MMRazor 0.x and 1.x.
_PARTS = {
    "student": ("student.", "architecture.model.", "architecture."),
    "teacher": ("teacher.", "distiller.teacher."),
}


@dataclass(frozen=True)
class Match:
    """How the keys of a file fit a model.

    Args:
        matched: keys with the same name and shape.
        missing: the model has them, the file does not.
        unexpected: the file has them, the model does not.
        mismatched: same name, other shape: (key, shape in the file, shape in the model).
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, list[int], list[int]], ...]

    @property
    def complete(self) -> bool:
        """Say whether every weight of the model comes from the file and none is left over."""
        return not (self.missing or self.unexpected or self.mismatched)

    def describe(self) -> str:
        """Return the report: counts and the first keys of each kind."""
        lines = [f"  matched {len(self.matched)}"]
        for what, keys in (("missing", self.missing), ("unexpected", self.unexpected)):
            lines += [f"  {what} {len(keys)}: {_first(keys)}"] if keys else []
        shapes = tuple(f"{key} (file {file}, model {model})" for key, file, model in self.mismatched)
        return "\n".join(lines + ([f"  other shape {len(shapes)}: {_first(shapes)}"] if shapes else []))


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint.

    Containers: a student package or run folder, ``.safetensors``, a Lightning checkpoint of ours (its student), and
    pickles that hold a state dict bare or under ``state_dict`` or ``model``; a leading ``module.`` is dropped. Of a
    file that holds student and teacher (SegDistill, MMRazor, mmseg-distiller) the student is read, or with ``#teacher``
    behind the name the teacher.

    Raises:
        UserError: no such file, a damaged one, one without tensors, or a pickle that wants to run code.
    """
    path, part = _split(path)
    path = _file(path)
    content = _content(path)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a state dict.")
    state = {str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise UserError(f"{path}: holds no tensors.")
    return _part(state, part, path)


def match(model: nn.Module, state: Mapping[str, Tensor]) -> Match:
    """Compare names and shapes."""
    own = model.state_dict()
    common = [key for key in own if key in state]
    other = tuple((k, list(state[k].shape), list(own[k].shape)) for k in common if state[k].shape != own[k].shape)
    matched = tuple(key for key in common if state[key].shape == own[key].shape)
    # Files older than batch norm's counter lack it, and nothing that is evaluated reads it.
    missing = tuple(key for key in own if key not in state and not key.endswith("num_batches_tracked"))
    return Match(matched, missing, tuple(key for key in state if key not in own), other)


def load_matched(model: nn.Module, path: Path, what: str) -> Match:
    """Load a file into ``model`` in full.

    Args:
        model: changed in place, only when everything fits.
        path: see :func:`read_state`.
        what: what the model is ("teacher"), for the message.

    Raises:
        UserError: unreadable file, or keys that are missing, unexpected or of another shape; all are listed.
    """
    state = read_state(path)
    found = match(model, state)
    if not found.complete:
        raise UserError(
            f"The {what} checkpoint {path} does not fit {type(model).__name__}; nothing was loaded.\n"
            f"{found.describe()}\nCheck the model's options (backbone, family, channels, number of classes)."
        )
    model.load_state_dict(state, strict=False)
    return found


def _split(path: Path) -> tuple[Path, str]:
    name, mark, part = path.name.rpartition("#")
    return (path.with_name(name), part) if mark and part in _PARTS else (path, "student")


def _part(state: dict[str, Tensor], part: str, path: Path) -> dict[str, Tensor]:
    """Return one network of a file that holds two; of any other file everything."""
    for prefix in _PARTS[part]:
        found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if found:
            return found
    if part == "teacher":
        raise UserError(f"{path}: holds no teacher beside a student; leave #teacher away.")
    return state


def _file(path: Path) -> Path:
    for inside in (path / "model.safetensors", path / "student" / "model.safetensors"):
        if inside.is_file():
            return inside
    if path.is_dir():
        raise UserError(f"{path}: no model.safetensors in this folder or its student/.")
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint.")
    return path


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way there is
        unpickling = isinstance(error, pickle.UnpicklingError)
        refused = re.search(r"GLOBAL (\S+)", str(error)) if unpickling else None
        if refused is None:
            # What torch says of a pickle is not repeated: it recommends to run the file's code.
            lines = [] if unpickling else str(error).splitlines()[:1]
            reason = ": ".join([type(error).__name__, *lines])[:160]
            raise UserError(f"{path}: damaged, or no checkpoint of plain tensors ({reason}).") from error
        raise UserError(
            f"{path}: refused. Besides tensors and plain containers it holds {refused[1]}, and loading that could run "
            "code. Where you trust it, save its state dict alone: torch.save(checkpoint['state_dict'], file)."
        ) from error


def _first(keys: tuple[str, ...]) -> str:
    more = len(keys) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f", and {more} more" if more > 0 else "")
