"""Weights that a student begins with: the same classes, or fine-tuning for others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from densekd.builders.teacher_classes import BY_NUMBER
from densekd.data.class_order import shown, spelled
from densekd.data.classes import Classes
from densekd.errors import UserError
from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.fit import fit
from densekd.models.checkpoints.values import load_values
from densekd.models.classes import are_unnamed, unnamed_classes
from densekd.models.described import any_classes_in
from densekd.models.named import build_named
from densekd.recipe import ModelSpec

# What ``student.classes`` says where the checkpoint knows other classes than the data.
FINE_TUNE = "fine-tune"
_AUXILIARY = "auxiliary.*"
# Ranges of the activations of a quantized student, which are measured anew.
_RANGES = ("*_quantizer.low", "*_quantizer.high")


@dataclass(frozen=True)
class Begins:
    """How a student begins with a checkpoint.

    Args:
        spec: the recipe's student, its model's name known.
        options: of the model, completed by what the checkpoint says.
        count: number of the data's classes.
        names: of the data's classes; empty where nobody knows them.
        match: ``by-name``, ``by-number`` or ``fine-tune``.
    """

    spec: ModelSpec
    options: Mapping[str, Any]
    count: int
    names: Sequence[str] = ()
    match: str = "by-name"


class Begun(NamedTuple):
    """Classes that a student's weights know, and notes; unnamed after its classifier began anew."""

    classes: Classes
    notes: tuple[str, ...]


def load_student(model: nn.Module, checkpoint: Checkpoint, begins: Begins) -> Begun:
    """Load a checkpoint into a student; for other classes its classifier begins anew.

    Rows of the classifier whose class has the same name on both sides are kept. An auxiliary head,
    which packages do not have, begins anew, too. Both are said.

    Args:
        model: as it was built, changed in place.
        checkpoint: of a model of this architecture.
        begins: what the recipe says.

    Raises:
        UserError: weights that do not fit, but for those of the classes.
    """
    known = any_classes_in(checkpoint)
    other = begins.match == FINE_TUNE
    if known is not None and begins.match != BY_NUMBER:
        other = other or len(known.names) != begins.count
    allowed, notes = _allowed(model, checkpoint, begins.spec.allow)
    if not other:
        try:
            return _load_same(model, checkpoint, begins, allowed, notes)
        except UserError:
            # Where nothing tells how many classes a file has, its shapes may.
            if known is not None or begins.match == BY_NUMBER or not _class_dimensions(model, begins):
                raise
    return _load_other(model, checkpoint, begins, allowed, notes)


def _allowed(model: nn.Module, checkpoint: Checkpoint, asked: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Let an auxiliary head begin anew that a file does not have; leave out ranges that it has besides."""
    if any(fnmatch(key, _RANGES[0]) for key in checkpoint.state):
        asked = (*asked, *_RANGES)
    needs = any(key.startswith("auxiliary.") for key in model.state_dict())
    if not needs or any("aux" in key for key in checkpoint.state):
        return tuple(asked), ()
    note = f"student.checkpoint: {checkpoint.name} has no auxiliary head; it begins anew."
    return (*asked, _AUXILIARY), (note,)


def _load_same(
    model: nn.Module, checkpoint: Checkpoint, begins: Begins, allowed: Sequence[str], notes: tuple[str, ...]
) -> Begun:
    """Load every weight."""
    fitted = fit(model, checkpoint, "student", allowed)
    state = {key: fitted.state[key] for key in fitted.match.matched}
    said = load_values(model, state, checkpoint.name)
    known = any_classes_in(checkpoint)
    if known is None or len(known.names) != begins.count:
        known = unnamed_classes(begins.count)
    return Begun(known, (*notes, *fitted.match.notes, *said))


def _load_other(
    model: nn.Module, checkpoint: Checkpoint, begins: Begins, allowed: Sequence[str], notes: tuple[str, ...]
) -> Begun:
    """Load every weight but those of the classes, of which the shared ones are kept."""
    dimensions = _class_dimensions(model, begins)
    fitted = fit(model, checkpoint, "student", allowed, dimensions)
    own = model.state_dict()
    known = any_classes_in(checkpoint)
    pairs = _shared(begins.names, known)
    state: dict[str, Tensor] = {}
    kept: set[str] = set()
    for key in own:
        if key in dimensions:
            state[key] = _begin_anew(own[key], fitted.state.get(key), pairs, known)
            if not torch.equal(own[key], state[key]):
                kept.add(key)
        elif key in fitted.match.matched:
            state[key] = fitted.state[key]
    said = load_values(model, state, checkpoint.name)
    note = _describe(checkpoint, begins, known, pairs if kept else {}, sorted(dimensions))
    return Begun(unnamed_classes(begins.count), (*notes, *fitted.match.notes, *said, note))


def _class_dimensions(model: nn.Module, begins: Begins) -> dict[str, tuple[int, ...]]:
    """Return the weights whose shape depends on the number of classes, and in which dimensions.

    The model is built once more for one class more, without memory, and compared.
    """
    assert begins.spec.model is not None
    supplied = {"num_classes": begins.count + 1, "weights": "none"}
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            larger = build_named(begins.spec.model, begins.options, supplied, "student.options").model.state_dict()
    except Exception:  # a model of the user's may not know how
        return {}
    found: dict[str, tuple[int, ...]] = {}
    for key, value in model.state_dict().items():
        if key not in larger or larger[key].dim() != value.dim():
            continue
        pairs = enumerate(zip(value.shape, larger[key].shape, strict=True))
        changed = tuple(number for number, (here, there) in pairs if here != there)
        if changed:
            found[key] = changed
    return found


def _shared(names: Sequence[str], known: Classes | None) -> dict[int, int]:
    """Pair the numbers of classes that have one name on both sides: the data's, the checkpoint's."""
    if known is None or are_unnamed(known):
        return {}
    places = {spelled(name): number for number, name in enumerate(known.names)}
    pairs = {}
    for number, name in enumerate(names):
        if spelled(name) in places:
            pairs[number] = places[spelled(name)]
    return pairs


def _begin_anew(fresh: Tensor, stored: Tensor | None, pairs: Mapping[int, int], known: Classes | None) -> Tensor:
    """Return a classifier's tensor as it was drawn, with the rows of shared classes of the file."""
    value = fresh.clone()
    rows = 0 if known is None else len(known.names)
    # Rows count classes alone where there is one for each.
    if stored is None or stored.shape[0] != rows or stored.shape[1:] != fresh.shape[1:]:
        return value
    if any(number >= fresh.shape[0] for number in pairs):
        return value
    for number, place in pairs.items():
        value[number] = stored[place].to(value.dtype)
    return value


def _describe(
    checkpoint: Checkpoint, begins: Begins, known: Classes | None, pairs: Mapping[int, int], keys: Sequence[str]
) -> str:
    """Say which classes a fine-tuned student keeps, and which begin anew."""
    names = list(begins.names) or [str(number) for number in range(begins.count)]
    kept = [name for number, name in enumerate(names) if number in pairs]
    anew = [name for number, name in enumerate(names) if number not in pairs]
    has = "other classes" if known is None else f"{len(known.names)} classes, the data {begins.count}"
    said = f"student.checkpoint: {checkpoint.name} has {has}: fine-tuned. {', '.join(keys)}"
    if not kept:
        return f"{said} begin anew for all classes."
    return f"{said} keep the rows of {shown(kept)}; those of {shown(anew)} begin anew."
