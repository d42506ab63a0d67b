"""Facts: the numbers of the original experiments, as their authors spell them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from densekd.presets.preset import Preset

# What a fact says of a key that the recipe must not have.
ABSENT = object()


@dataclass(frozen=True)
class Fact:
    """One number of an original, and where a recipe of ours has it.

    Args:
        parameter: the original's name of it.
        original: its value there, as written.
        source: file or command.
        key: place in the recipe: ``optimizer.lr``; ``distill.cwd.weight`` is the weight of the term
            with this method, ``distill.cwd#2.weight`` of the second one.
        ours: value in the recipe; :data:`ABSENT` where the recipe has no such key.
        why: reason, where ``ours`` is not the original's value in other words.
        only: values of a preset's fields for which the fact holds: ``{"data": ("voc",)}``.
    """

    parameter: str
    original: str
    source: str
    key: str
    ours: Any
    why: str = ""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def holds_for(self, preset: Preset) -> bool:
        """Return whether a preset is one of those that the fact is about."""
        return all(str(getattr(preset, name)) in values for name, values in self.only.items())


def find_value(content: Mapping[str, Any], key: str) -> Any:
    """Return the value at a fact's key, or :data:`ABSENT`."""
    place: Any = content
    parts = key.split(".")
    if parts[0] == "distill":
        place = _term(content, parts[1])
        parts = parts[2:]
    for part in parts:
        if not isinstance(place, Mapping) or part not in place:
            return ABSENT
        place = place[part]
    return place


def numbers_of(content: Mapping[str, Any]) -> Iterator[str]:
    """List the keys of a recipe that a fact has to speak of: all but names, places and comfort."""
    for section, value in content.items():
        if section == "distill":
            yield from _numbers_of_terms(value)
        elif isinstance(value, Mapping):
            yield from _numbers_below(section, value)


def _numbers_below(prefix: str, content: Mapping[str, Any]) -> Iterator[str]:
    for key, value in content.items():
        place = f"{prefix}.{key}"
        if isinstance(value, Mapping):
            yield from _numbers_below(place, value)
        elif place not in _COMFORT:
            yield place


def _numbers_of_terms(terms: list[dict[str, Any]]) -> Iterator[str]:
    for name, term in _named(terms).items():
        for key, value in term.items():
            if key == "method":
                continue
            if isinstance(value, Mapping):
                yield from _numbers_below(f"distill.{name}.{key}", value)
            else:
                yield f"distill.{name}.{key}"


# Places of files, loading processes, and how often a run is kept: not the experiment.
_COMFORT = {"data.root", "data.workers", "training.checkpoint_every"}


def _named(terms: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name terms by their method, and a second one of a method by its number."""
    named: dict[str, dict[str, Any]] = {}
    for term in terms:
        # A dot in a method's name would end it in a key.
        method = term["method"].replace(".", "_")
        name, number = method, 1
        while name in named:
            number += 1
            name = f"{method}#{number}"
        named[name] = term
    return named


def _term(content: Mapping[str, Any], name: str) -> Any:
    return _named(content.get("distill", [])).get(name, {})
