"""Views of a checkpoint: its weights without what wrappers of modules put before their names."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from densekd.models.checkpoints.weight_sets import WeightSet, is_average, is_beside

# What wrappers of modules put before every name: DDP, torch.compile, Lightning, FSDP, own ones.
_PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "student.",
    "_forward_module.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
)
# What the two networks are called in a distillation checkpoint of SegDistill and mmseg-distiller, of
# MMRazor 0.x and of 1.x.
PARTS = {
    "student": ("student.", "architecture.model.", "architecture."),
    "teacher": ("teacher.", "distiller.teacher."),
}


class View(NamedTuple):
    """Weights of one network in a file.

    Args:
        place: of the set of weights in the file.
        prefix: what was taken off every name; ends with a dot, or is empty.
        state: under the names that are left.
        left: names in the set that do not begin with the prefix.
    """

    place: str
    prefix: str
    state: dict[str, Tensor]
    left: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return what is written behind ``#`` for this view."""
        return ".".join(part for part in (self.place, self.prefix.rstrip(".")) if part)


def main_view(found: WeightSet, part: str = "student") -> View:
    """Take off what DDP, ``torch.compile``, Lightning and others put before names, however they nest.

    Args:
        found: a set of weights.
        part: ``student`` or ``teacher``, of a file that holds both networks.
    """
    view = View(found.place, "", found.state)
    # Each prefix may come again below another one.
    while True:
        prefix = _next_prefix(view.state, part)
        if prefix is None:
            return _without_copies(view)
        view = below(view, prefix)


def join(sets: Sequence[WeightSet]) -> WeightSet:
    """Join parts of one network that a file holds side by side; their places begin their names."""
    joined = {}
    for found in sets:
        for key, value in found.state.items():
            joined[f"{found.place}.{key}".lstrip(".")] = value
    return WeightSet("", joined)


def below(view: View, prefix: str) -> View:
    """Return the part of a view under a prefix of its names."""
    state = {}
    left = list(view.left)
    for key, value in view.state.items():
        if key.startswith(prefix):
            state[key.removeprefix(prefix)] = value
        else:
            left.append(view.prefix + key)
    return View(view.place, view.prefix + prefix, state, tuple(left))


def _without_copies(view: View) -> View:
    """Leave the copies that mmcv's EMA keeps beside each weight: ``ema_backbone_conv1_weight``."""
    copies = {"ema_" + key.replace(".", "_") for key in view.state} & set(view.state)
    if not copies:
        return view
    state = {key: value for key, value in view.state.items() if key not in copies}
    return view._replace(state=state, left=(*view.left, *sorted(copies)))


def _next_prefix(state: Mapping[str, Tensor], part: str) -> str | None:
    """Find the prefix to take off: that of all names, of the wanted network, or of nearly all names."""
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            return prefix
    for prefix in PARTS[part]:
        if any(key.startswith(prefix) for key in state):
            return prefix
    # Beside the network a few tensors of the loss, a counter, or the average of the network.
    counts = Counter(key.partition(".")[0] + "." for key in state)
    known = [prefix for prefix in counts if prefix in _PREFIXES]
    if len(known) == 1:
        others = [prefix for prefix in counts if prefix != known[0] and counts[prefix] >= counts[known[0]]]
        if all(is_average(prefix.rstrip(".")) for prefix in others):
            return known[0]
    return None


def views_for(sets: Sequence[WeightSet], own: Iterable[str]) -> list[View]:
    """List the parts of a file that have names of a model, those that fit best first.

    Args:
        sets: of the file.
        own: names of the model's tensors.

    Returns:
        views under every prefix, whatever it is, behind which names of the model stand; averages and
        teachers after all others.
    """
    names = set(own)
    views: list[tuple[View, int]] = []
    for found in sets:
        whole = View(found.place, "", found.state)
        for prefix, count in _prefixes_before(found.state, names).items():
            views.append((below(whole, prefix), count))
        # A model inside a wrapper, of which the file has the inside alone, or inside another wrapper.
        added = _common_head(names)
        if not added:
            continue
        inner = {name.removeprefix(added) for name in names}
        for prefix, count in _prefixes_before(found.state, inner).items():
            views.append((_behind(below(whole, prefix), added), count))
    views.sort(key=lambda pair: (rank(pair[0]), -pair[1]))
    return [view for view, _ in views]


def rank(view: View) -> int:
    """Return 0 for weights that learnt, 1 for a network beside them, 2 for averages."""
    if is_average(view.name):
        return 2
    return 1 if is_beside(view.name) else 0


def _prefixes_before(state: Mapping[str, Tensor], names: set[str]) -> Counter[str]:
    """Count for every prefix how many names of the model stand behind it."""
    counts: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in names:
                counts["".join(f"{part}." for part in parts[:cut])] += 1
    return counts


def _common_head(names: set[str]) -> str:
    """Return what stands before the first dot of all names, with the dot; empty where that differs."""
    heads = {name.partition(".")[0] for name in names}
    return f"{heads.pop()}." if len(heads) == 1 else ""


def _behind(view: View, head: str) -> View:
    """Return a view whose names begin with a head."""
    return view._replace(state={head + key: value for key, value in view.state.items()})


def named_view(sets: Sequence[WeightSet], name: str) -> View | None:
    """Find the part of a file that ``#name`` means: a place, a prefix, or both joined by a dot.

    Args:
        sets: of the file.
        name: whole keys; ``ema`` means whatever average there is.
    """
    found: Counter[tuple[int, str]] = Counter()
    for number, weights in enumerate(sets):
        for key in weights.state:
            for prefix in _heads(weights.place, key):
                if _means(prefix, name):
                    found[number, prefix] += 1
    if not found:
        return None
    # Names may come again deep inside; the part with most weights is meant, of equal ones the outermost.
    best = max(found, key=lambda entry: (found[entry], -len(entry[1])))
    number, full = best
    weights = sets[number]
    prefix = full.removeprefix(weights.place).lstrip(".")
    whole = View(weights.place, "", weights.state)
    # The place alone was named, or an end of it.
    if not prefix or len(full) <= len(weights.place):
        return whole
    return below(whole, f"{prefix}.")


def _heads(place: str, key: str) -> list[str]:
    """Return all beginnings of the full name of a tensor: place, and place with parts of its name."""
    parts = place.split(".") if place else []
    parts += key.split(".")[:-1]
    return [".".join(parts[: cut + 1]) for cut in range(len(parts))]


def _means(prefix: str, name: str) -> bool:
    if name == "ema":
        last = prefix.rpartition(".")[2]
        return is_average(last)
    return prefix == name or prefix.endswith(f".{name}")
