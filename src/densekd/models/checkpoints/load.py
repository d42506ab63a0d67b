"""Load a state dict into a model key by key: in full or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import torch
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.bands import fitted_to_bands
from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.recognize import recognize

_SHOWN = 8


@dataclass(frozen=True)
class Match:
    """Comparison of the keys of a file with those of a model.

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
        """True where every weight of the model comes from the file and none is left over."""
        return not (self.missing or self.unexpected or self.mismatched)

    def describe(self) -> str:
        """Return the report: counts and the first keys of each kind."""
        lines = [f"  matched {len(self.matched)}"]
        if self.missing:
            lines.append(f"  missing {len(self.missing)}: {_first(self.missing)}")
        if self.unexpected:
            lines.append(f"  unexpected {len(self.unexpected)}: {_first(self.unexpected)}")
        if self.mismatched:
            shapes = [f"{key} (file {file}, model {model})" for key, file, model in self.mismatched]
            lines.append(f"  other shape {len(shapes)}: {_first(shapes)}")
        return "\n".join(lines)


def match(model: nn.Module, state: Mapping[str, Tensor], allowed: Sequence[str] = ()) -> Match:
    """Compare names and shapes.

    Args:
        model: what is to be filled.
        state: under the model's names.
        allowed: patterns (``auxiliary.*``) of keys that may be missing or left over.
    """
    own = model.state_dict()
    matched, missing, mismatched = [], [], []
    for key, value in own.items():
        if key in state and state[key].shape == value.shape:
            matched.append(key)
        elif key in state:
            mismatched.append((key, list(state[key].shape), list(value.shape)))
        # Files older than batch norm's counter lack it, and nothing that is evaluated reads it.
        elif not (key.endswith("num_batches_tracked") or _fits_one(key, allowed)):
            missing.append(key)
    unexpected = [key for key in state if key not in own and not _fits_one(key, allowed)]
    return Match(tuple(matched), tuple(missing), tuple(unexpected), tuple(mismatched))


def load_matched(
    model: nn.Module,
    checkpoint: Checkpoint,
    what: str,
    allowed: Sequence[str] = (),
) -> Match:
    """Load a checkpoint in full, under our names or, where these do not fit, a project's.

    Args:
        model: changed in place, only when everything fits.
        checkpoint: the weights.
        what: what the model is ("teacher"), for the message.
        allowed: patterns (``auxiliary.*``) of our keys that may be missing or left over.

    Raises:
        UserError: keys that are missing, unexpected or of another shape; all are listed.
    """
    # Our own names first: most files that a model is built for have them.
    state: Mapping[str, Tensor] = fitted_to_bands(model, checkpoint.state)
    found = match(model, state, allowed)
    published = None if found.complete else recognize(state)
    if published is not None:
        renamed = match(model, fitted_to_bands(model, published.state), allowed)
        # Of two comparisons that fail the one that fits better says more.
        if len(renamed.matched) > len(found.matched):
            state = published.state
    return load_in_full(
        model,
        state,
        allowed,
        f"The {what} checkpoint {checkpoint.name} does not fit {type(model).__name__}",
        "Check the model's options (backbone, family, channels, number of classes).",
        checkpoint.name,
    )


def load_in_full(
    model: nn.Module,
    state: Mapping[str, Tensor],
    allowed: Sequence[str],
    problem: str,
    advice: str = "",
    name: str = "the weights",
) -> Match:
    """Load a state dict when every key fits.

    Args:
        model: changed in place.
        state: under the model's names.
        allowed: patterns of keys that may be missing or left over.
        problem: beginning of the message when keys do not fit.
        advice: its end.
        name: of the file, for the message about weights that are not finite.

    Raises:
        UserError: some keys do not fit, or a weight is not finite; nothing was loaded.
    """
    # Filters of three colors fit a first convolution that was widened to other bands.
    state = fitted_to_bands(model, state)
    found = match(model, state, allowed)
    if not found.complete:
        raise UserError(f"{problem}; nothing was loaded.\n{found.describe()}\n{advice}".rstrip())
    require_finite({key: state[key] for key in found.matched}, name)
    model.load_state_dict(state, strict=False)
    return found


def require_finite(state: Mapping[str, Tensor], name: str) -> None:
    """Refuse weights that are not finite: what a model predicts with them means nothing.

    Args:
        state: what is to be loaded.
        name: of the file, for the message.

    Raises:
        UserError: NaN or infinity in a tensor; the first is named.
    """
    broken = [key for key, value in state.items() if not _is_finite(value)]
    if not broken:
        return
    first = broken[0]
    wrong = int((~state[first].isfinite()).sum())
    others = f" and {len(broken) - 1} more tensors" if len(broken) > 1 else ""
    raise UserError(
        f"{name}: the weights are not finite (NaN or infinity): {wrong} of {state[first].numel()} values of "
        f"{first}{others}. The training that wrote them diverged, or the file is damaged; take an earlier checkpoint."
    )


def _is_finite(value: Tensor) -> bool:
    if not value.is_floating_point() or value.device.type == "meta":
        return True
    # A sum in double precision is finite where every value is, at less cost than asking each.
    if bool(value.sum(dtype=torch.float64).isfinite()):
        return True
    return bool(value.isfinite().all())


def _fits_one(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(key, pattern) for pattern in patterns)


def _first(keys: Sequence[str]) -> str:
    more = len(keys) - _SHOWN
    shown = ", ".join(keys[:_SHOWN])
    return f"{shown}, and {more} more" if more > 0 else shown
