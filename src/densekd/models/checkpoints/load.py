"""Read a state dict from any container we know, and load it in full or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.checkpoints.containers import read_content, weights_in
from densekd.models.checkpoints.recognize import recognize

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
    torch's pickles, see :mod:`densekd.models.checkpoints.containers`. Of a file that holds student and teacher
    (SegDistill, MMRazor, mmseg-distiller) the student is read, or with ``#teacher`` behind the name the teacher.

    Raises:
        UserError: no such file, a damaged one, one without tensors, or a pickle that wants to run code.
    """
    path, part = split_part(path)
    path = _file(path)
    return _part(weights_in(read_content(path), path), part, path)


def match(model: nn.Module, state: Mapping[str, Tensor], allowed: Sequence[str] = ()) -> Match:
    """Compare names and shapes; keys that fit one of the ``allowed`` patterns may be missing or left over."""
    own = model.state_dict()
    common = [key for key in own if key in state]
    other = tuple((k, list(state[k].shape), list(own[k].shape)) for k in common if state[k].shape != own[k].shape)
    matched = tuple(key for key in common if state[key].shape == own[key].shape)
    # Files older than batch norm's counter lack it, and nothing that is evaluated reads it.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]

    def judged(keys: list[str]) -> tuple[str, ...]:
        return tuple(key for key in keys if not any(fnmatch(key, pattern) for pattern in allowed))

    return Match(matched, judged(missing), judged(unexpected), other)


def load_matched(model: nn.Module, path: Path, what: str, allowed: Sequence[str] = ()) -> Match:
    """Load a file into ``model`` in full, under our names or, where these do not fit, under a published project's.

    Args:
        model: changed in place, only when everything fits.
        path: see :func:`read_state`.
        what: what the model is ("teacher"), for the message.
        allowed: patterns (``auxiliary.*``) of our keys that may be missing or left over.

    Raises:
        UserError: unreadable file, or keys that are missing, unexpected or of another shape; all are listed.
    """
    state = read_state(path)
    found = match(model, state, allowed)
    if not found.complete and (published := recognize(state)) is not None:
        renamed = match(model, published.state, allowed)
        # Of two comparisons that fail the one that fits better says more.
        if len(renamed.matched) > len(found.matched):
            state, found = published.state, renamed
    if not found.complete:
        raise UserError(
            f"The {what} checkpoint {path} does not fit {type(model).__name__}; nothing was loaded.\n"
            f"{found.describe()}\nCheck the model's options (backbone, family, channels, number of classes)."
        )
    model.load_state_dict(state, strict=False)
    return found


def split_part(path: Path) -> tuple[Path, str]:
    """Take ``#student`` or ``#teacher`` off a path; the student is meant where neither is there."""
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


def _first(keys: tuple[str, ...]) -> str:
    more = len(keys) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f", and {more} more" if more > 0 else "")
