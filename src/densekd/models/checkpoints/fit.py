"""Search for a model's weights in a file: below any prefix, under our names or a project's."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from densekd.errors import UserError, see
from densekd.models.bands import fitted_to_bands
from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.match import Match, first_of, match
from densekd.models.checkpoints.recognize import recognize
from densekd.models.checkpoints.views import View, join, rank, views_for
from densekd.models.checkpoints.weight_sets import is_average, is_beside, is_wrapper

# Prefixes that are compared; those with most of the model's names come first.
_VIEWS = 12


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

    def compare(view: View, state: Mapping[str, Tensor]) -> Fitted:
        # Filters of three colors fit a first convolution that was widened to other bands.
        widened = dict(fitted_to_bands(model, state))
        return Fitted(view, widened, _without(match(model, widened, allowed), renewed))

    # As it is meant, under our own names: most files that a model is built for are so.
    meant = checkpoint.view or View("", "", checkpoint.state)
    first = compare(meant, checkpoint.state)
    if first.match.complete and not _has_rivals(checkpoint, meant):
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


def _has_rivals(checkpoint: Checkpoint, meant: View) -> bool:
    """Tell whether a file keeps several networks under names of their own, of which none was asked for."""
    if "#" in checkpoint.name or not meant.place or is_wrapper(meant.place):
        return False
    others = [found.place for found in checkpoint.all_sets if found.place != meant.place]
    return any(not (is_average(place) or is_beside(place) or is_wrapper(place)) for place in others)


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
    return f"{problem}\n{where}{found.describe()}\n{advice}{more} {see('mismatch')}"


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
    return f" A part of the file is named behind '#': {path}#{parts[-1]}; it has {first_of(parts)}."
