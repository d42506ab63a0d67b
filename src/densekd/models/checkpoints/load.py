"""Load a state dict into a model key by key: in full or not at all."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import NamedTuple

import torch
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.recognize import recognize
from densekd.models.checkpoints.views import View, join, rank, views_for

_SHOWN = 8
# Of batch norm; it counts batches.
_COUNTER = "num_batches_tracked"
# Prefixes that are compared; those with most of the model's names come first.
_VIEWS = 12


@dataclass(frozen=True)
class Match:
    """Comparison of the keys of a file with those of a model.

    Args:
        matched: keys with the same name and shape.
        missing: the model has them, the file does not.
        unexpected: the file has them, the model does not.
        mismatched: same name, other shape: (key, shape in the file, shape in the model).
        notes: what people should know of the file before they trust it, a sentence each.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, list[int], list[int]], ...]
    notes: tuple[str, ...] = ()

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


class Fitted(NamedTuple):
    """Weights of a file under a model's names.

    Args:
        view: the part of the file that they are.
        state: under the model's names.
        match: how they fit.
    """

    view: View
    state: dict[str, Tensor]
    match: Match


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
        elif not (key.endswith(_COUNTER) or _fits_one(key, allowed)):
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

    Returns:
        how they fit, with what people should know of the file.

    Raises:
        UserError: keys that are missing, unexpected or of another shape; all are listed.
    """
    fitted = fit(model, checkpoint, what, allowed)
    loaded = load_in_full(model, fitted.state, allowed, "", name=checkpoint.name)
    return replace(loaded, notes=(*fitted.match.notes, *loaded.notes))


def fit(
    model: nn.Module,
    checkpoint: Checkpoint,
    what: str,
    allowed: Sequence[str] = (),
    renewed: Collection[str] = (),
) -> Fitted:
    """Find the weights of a model in a file: under any prefix, our names or a project's.

    Args:
        model: what is to be filled; it is not changed.
        checkpoint: the weights.
        what: what the model is ("teacher"), for the message.
        allowed: patterns of our keys that may be missing or left over.
        renewed: our keys that may have another shape or be missing: they begin anew.

    Raises:
        UserError: keys that are missing, unexpected or of another shape, or several networks that
            fit equally.
    """
    tried = _candidates(model, checkpoint, allowed, renewed)
    complete = [candidate for candidate in tried if candidate.match.complete]
    if not complete:
        # Of comparisons that fail the one that fits best says most.
        best = max(tried, key=lambda candidate: len(candidate.match.matched))
        raise UserError(_describe_misfit(model, checkpoint, what, best))
    best = complete[0]
    _require_one(checkpoint, complete)
    return best._replace(match=replace(best.match, notes=checkpoint.notes(best.view)))


def _candidates(
    model: nn.Module, checkpoint: Checkpoint, allowed: Sequence[str], renewed: Collection[str]
) -> list[Fitted]:
    """Compare a model with a file: as it is meant, below every prefix, and under projects' names."""

    def compare(view: View, state: dict[str, Tensor]) -> Fitted:
        return Fitted(view, state, _without(match(model, state, allowed), renewed))

    # As it is meant, under our own names: most files that a model is built for are so.
    meant = checkpoint.view or View("", "", checkpoint.state)
    first = compare(meant, checkpoint.state)
    if first.match.complete:
        return [first]
    found = [first]
    for view in views_for(checkpoint.all_sets, model.state_dict())[:_VIEWS]:
        found.append(compare(view, view.state))
    if any(candidate.match.complete for candidate in found):
        return found
    # Parts of a network that were saved side by side: {"encoder": ..., "decoder": ...}.
    if len(checkpoint.all_sets) > 1:
        for view in views_for([join(checkpoint.all_sets)], model.state_dict())[:_VIEWS]:
            found.append(compare(view, view.state))
    published = recognize(checkpoint.state)
    if published is not None:
        found.append(compare(meant, published.state))
    return found


def _without(found: Match, renewed: Collection[str]) -> Match:
    """Forgive what begins anew."""
    if not renewed:
        return found
    missing = tuple(key for key in found.missing if key not in renewed)
    mismatched = tuple(entry for entry in found.mismatched if entry[0] not in renewed)
    return replace(found, missing=missing, mismatched=mismatched)


def _require_one(checkpoint: Checkpoint, complete: Sequence[Fitted]) -> None:
    """Refuse to choose between two networks of a file that fit equally and are not the same.

    Raises:
        UserError: there are two.
    """
    best = complete[0]
    for other in complete[1:]:
        if rank(other.view) > rank(best.view) or _are_equal(best, other):
            continue
        raise UserError(
            f"{checkpoint.name}: holds two networks that fit, '{best.view.name}' and '{other.view.name}'. Say which "
            f"is meant: {checkpoint.name}#{best.view.name} or {checkpoint.name}#{other.view.name}."
        )


def _are_equal(one: Fitted, other: Fitted) -> bool:
    return all(torch.equal(one.state[key], other.state[key]) for key in one.match.matched)


def _describe_misfit(model: nn.Module, checkpoint: Checkpoint, what: str, best: Fitted) -> str:
    """Say how a file comes closest to a model, and what to do."""
    found = best.match
    problem = f"The {what} checkpoint {checkpoint.name} does not fit {type(model).__name__}; nothing was loaded."
    where = f"  under the prefix '{best.view.name}.':\n" if best.view.name else ""
    if not found.matched and not found.mismatched:
        advice = "Check the model: none of its names is in the file, which is of another architecture or library."
    elif found.missing or found.mismatched:
        advice = "Check the model's options (backbone, family, channels, number of classes)."
    else:
        advice = (
            "Check the model's options; the file has more than the model: what is of no use is left away by 'allow', "
            f"e.g. allow: ['{found.unexpected[0]}']."
        )
    # Where nearly all fits, no other part of the file is meant.
    more = _prefixes_of(checkpoint) if len(found.missing) > len(found.matched) else ""
    return f"{problem}\n{where}{found.describe()}\n{advice}{more}"


def _prefixes_of(checkpoint: Checkpoint) -> str:
    """Say how a part of the file is named, where it has several."""
    path, _, _ = checkpoint.name.partition("#")
    places = [found.place for found in checkpoint.all_sets]
    places = [place for place in places if place]
    heads: list[str] = []
    for found in checkpoint.all_sets:
        heads += [key.partition(".")[0] for key in found.state if key.count(".") > 1]
    parts = list(dict.fromkeys([*places, *heads]))
    if len(parts) < 2:
        return ""
    return f" A part of the file is named behind '#': {path}#{parts[-1]}; it has {_first(parts)}."


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
        name: of the file, for messages about its values.

    Returns:
        how they fit; a note where the file has another precision than the model.

    Raises:
        UserError: some keys do not fit, a weight is not finite, or is quantized; nothing was loaded.
    """
    found = match(model, state, allowed)
    if not found.complete:
        raise UserError(f"{problem}; nothing was loaded.\n{found.describe()}\n{advice}".rstrip())
    loaded = {key: state[key] for key in found.matched}
    return replace(found, notes=load_values(model, loaded, name))


def load_values(model: nn.Module, state: Mapping[str, Tensor], name: str) -> tuple[str, ...]:
    """Load tensors of a model's names and shapes; values of another precision are converted.

    Args:
        model: changed in place.
        state: of the model's names and shapes; it may lack some.
        name: of the file, for messages.

    Returns:
        a note where the file has another precision than the model.

    Raises:
        UserError: a weight is not finite, or is quantized; nothing was loaded.
    """
    own = model.state_dict()
    converted = set()
    for key, value in state.items():
        needed = own[key].dtype
        # Numbers of 8 bits are no weights without their scales; counters may have been halved with the rest.
        if value.is_floating_point() != needed.is_floating_point and not key.endswith(_COUNTER):
            raise UserError(
                f"{name}: {key} is stored as {_dtype(value.dtype)}, and the model needs {_dtype(needed)}. Weights "
                "that were quantized cannot be read; name the checkpoint before that."
            )
        if value.is_floating_point() and value.dtype != needed and not key.endswith(_COUNTER):
            converted.add(_dtype(value.dtype))
    require_finite(state, name)
    model.load_state_dict(state, strict=False)
    if not converted:
        return ()
    return (f"{name}: the weights are stored as {', '.join(sorted(converted))} and were converted to float32.",)


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


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
    wrong = int((~state[first].float().isfinite()).sum())
    others = f" and {len(broken) - 1} more tensors" if len(broken) > 1 else ""
    raise UserError(
        f"{name}: the weights are not finite (NaN or infinity): {wrong} of {state[first].numel()} values of "
        f"{first}{others}. The training that wrote them diverged, or the file is damaged; take an earlier checkpoint."
    )


def _is_finite(value: Tensor) -> bool:
    if not value.is_floating_point() or value.device.type == "meta":
        return True
    # Numbers of 8 bits know no such question.
    if value.dtype.itemsize == 1:
        value = value.float()
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
