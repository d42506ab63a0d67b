"""Sets of weights in a checkpoint: the model's, its average's, a teacher's, each with its place."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

# Where projects put the weights, in order of preference.
_WRAPPERS = (
    "state_dict",
    "model",
    "module",
    "model_state",
    "model_state_dict",
    "net",
    "student",
    "network",
    "weights",
    "params",
)
# Averages are taken only where there is nothing else, or where they are asked for.
_AVERAGE = re.compile(r"(?:.*_)?(ema|swa|averaged?)\d*(?:_.*)?")
# Networks that a training keeps beside the one that learns.
_BESIDE = re.compile(r"(?:.*_)?(teacher|momentum|target|discriminator)(?:_.*)?")
# What a training keeps beside the networks.
_TRAINING = re.compile(
    r".*(optim|sched|scaler|rng|random_state|hyper_?param|callback).*|loops|args|cfg|.*config|meta|message_hub|densekd"
)
_DEPTH = 4


class WeightSet(NamedTuple):
    """One mapping of tensors in a file.

    Args:
        place: keys that lead there, joined by dots; empty for the file's own level.
        state: its tensors by name.
    """

    place: str
    state: dict[str, Tensor]


def find_sets(content: Any) -> list[WeightSet]:
    """List the sets of weights in the content of a file, the one that is meant first."""
    return sorted(_walk(content, "", 0), key=_rank)


def is_average(place: str) -> bool:
    """Return True for the place or prefix of weights that were averaged over a training (EMA, SWA)."""
    return any(_AVERAGE.fullmatch(part) for part in place.split("."))


def is_beside(place: str) -> bool:
    """Return True for the place or prefix of a network that is not the one that learns."""
    return any(_BESIDE.fullmatch(part) for part in place.split("."))


def is_wrapper(place: str) -> bool:
    """Tell a place that trainers keep the model's weights at, as ``state_dict``, from a network's own name."""
    parts = [part for part in place.split(".") if not part.isdigit()]
    return bool(place) and all(part in _WRAPPERS for part in parts)


def holds_swapped_average(content: Any) -> bool:
    """Return True where the main weights are the average, and the others those that were trained.

    mmengine's ``EMAHook`` and Lightning's ``WeightAveraging`` save so.
    """
    if not isinstance(content, Mapping):
        return False
    mmengine = "ema_state_dict" in content and "message_hub" in content
    return mmengine or "current_model_state" in content


def _walk(content: Any, place: str, depth: int) -> Iterator[WeightSet]:
    # A pair (weights, step) has its weights among its items.
    if isinstance(content, list | tuple):
        content = {str(k): item for k, item in enumerate(content) if isinstance(item, Mapping)}
    if not isinstance(content, Mapping) or depth > _DEPTH or "param_groups" in content:
        return
    for key, value in content.items():
        # Names are text; optimizers count their states.
        if not isinstance(key, str) or _TRAINING.fullmatch(key):
            continue
        # Pairs are looked for on the file's own level alone.
        if isinstance(value, Mapping):
            yield from _walk(value, f"{place}.{key}".lstrip("."), depth + 1)
    own = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if own:
        yield WeightSet(place, own)


def _rank(found: WeightSet) -> tuple[bool, bool, bool, int, int]:
    """Order sets: what learns before its average, known places before others, then by size."""
    parts = [part for part in found.place.split(".") if not part.isdigit()]
    known = is_wrapper(found.place)
    order = _WRAPPERS.index(parts[0]) if known and parts else len(_WRAPPERS)
    beside = is_beside(found.place)
    return is_average(found.place), beside, not known, order, -len(found.state)
