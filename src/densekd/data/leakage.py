"""Leakage between training and validation: near-duplicates, neighboring frames, common sequences of files.

A score on images whose neighbors were learnt is too high, and hides what methods differ in.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from densekd.data.found import Source
from densekd.data.look_alike import NEAR, are_telling, distances, look_of

# A name that counts: what stands before its last number, and that number.
_COUNTED = re.compile(r"^(.*?)(\d+)\D*$")
# Images of a split that are looked at, evenly chosen.
_MOST_TRAIN, _MOST_VAL = 4000, 1000
# From so many pairs on it is said that neighbors resemble each other more than others do, if it is this much.
_FEWEST = 8
_ALIKE = 0.85
# A division that chance makes less often than this was made on purpose.
_IMPROBABLE = 1e-6


class Pictured(Protocol):
    """What is read of an item of a split."""

    @property
    def stem(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> Source: ...  # noqa: D102


class Pair(NamedTuple):
    """A training image and a validation image, by name."""

    train: str
    val: str


@dataclass(frozen=True)
class Leakage:
    """What two splits share.

    Args:
        looked: (training, validation) images that were looked at.
        duplicates: validation images with a near-duplicate in training, and the first pair.
        neighbors: validation images whose name is next to a training image's, where such neighbors
            look alike; and the closest pair.
        sequences: beginning of names -> (training, validation) images that have it, where
            validation was taken from some of the sequences that are learnt.
    """

    looked: tuple[int, int]
    duplicates: int = 0
    duplicate: Pair | None = None
    neighbors: int = 0
    neighbor: Pair | None = None
    sequences: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """What a person should know, with what to do; empty where nothing is shared."""
        said = []
        if self.duplicate is not None:
            said.append(
                f"{self.duplicates} of {self.looked[1]} validation images look like one that is learnt, for instance "
                f"'{self.duplicate.val}' like '{self.duplicate.train}'"
            )
        if self.neighbor is not None:
            said.append(
                f"{self.neighbors} of {self.looked[1]} validation images are neighbors of learnt ones in a sequence, "
                f"for instance '{self.neighbor.val}' of '{self.neighbor.train}'"
            )
        if self.sequences:
            some = [f"'{name}' ({train} + {val})" for name, (train, val) in list(self.sequences.items())[:3]]
            said.append(
                f"validation is a part of sequences whose other images are learnt (training + validation): "
                f"{', '.join(some)}"
            )
        if said:
            said[-1] += (
                ". Scores will be too high, and methods look more alike than they are: keep whole drives, patients or "
                "places apart by data.leave_out or data.split.groups"
            )
        return said


def find_leakage(train: Sequence[Pictured], val: Sequence[Pictured]) -> Leakage:
    """Look for what two splits share; of large ones a part is looked at.

    Args:
        train, val: items of both.

    Raises:
        UserError: an image that cannot be read.
    """
    learnt, held = _some(train, _MOST_TRAIN), _some(val, _MOST_VAL)
    if not learnt or not held:
        return Leakage((len(learnt), len(held)))
    looks = np.array([look_of(item) for item in learnt])
    shown = np.array([look_of(item) for item in held])
    apart = np.stack([distances(look, looks) for look in shown])
    names = [_counted(item.stem) for item in learnt], [_counted(item.stem) for item in held]
    duplicates, first = _duplicates(apart, are_telling(shown), learnt, held)
    neighbors, closest = _neighbors(apart, *names, learnt, held)
    return Leakage(
        looked=(len(learnt), len(held)),
        duplicates=duplicates,
        duplicate=first,
        neighbors=neighbors,
        neighbor=closest,
        sequences=_sequences(*names),
    )


def _some(items: Sequence[Pictured], most: int) -> list[Pictured]:
    step = max(1, -(-len(items) // most))
    return list(items[::step])


def _counted(stem: str) -> tuple[str, int | None]:
    """Divide a name into the beginning that its sequence has and its number; without a number None."""
    match = _COUNTED.match(Path(stem).name)
    if match is None:
        return stem, None
    # A folder is a part of what a sequence is called.
    return str(Path(stem).parent / match[1]), int(match[2])


def _duplicates(
    apart: np.ndarray, telling: np.ndarray, learnt: Sequence[Pictured], held: Sequence[Pictured]
) -> tuple[int, Pair | None]:
    """Count validation images that differ from a training image in few comparisons."""
    nearest = apart.argmin(1)
    near = (apart.min(1) <= NEAR) & telling
    if not near.any():
        return 0, None
    k = int(near.argmax())
    return int(near.sum()), Pair(learnt[nearest[k]].stem, held[k].stem)


def _neighbors(
    apart: np.ndarray,
    train: Sequence[tuple[str, int | None]],
    val: Sequence[tuple[str, int | None]],
    learnt: Sequence[Pictured],
    held: Sequence[Pictured],
) -> tuple[int, Pair | None]:
    """Count validation images next to a training image of their sequence, if such neighbors look alike.

    Numbers alone say nothing: photographs that were shuffled have neighbors in number, too.
    """
    by_name: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for k, (name, number) in enumerate(train):
        if number is not None:
            by_name[name].append((number, k))
    pairs: list[tuple[int, int]] = []
    for k, (name, number) in enumerate(val):
        if number is None or name not in by_name:
            continue
        _, nearest = min((abs(number - other), index) for other, index in by_name[name])
        pairs.append((k, nearest))
    if len(pairs) < _FEWEST:
        return 0, None
    between = np.array([apart[k, nearest] for k, nearest in pairs])
    if np.median(between) >= _ALIKE * np.median(apart):
        return 0, None
    k, nearest = pairs[int(between.argmin())]
    alike = int((between < np.quantile(apart, 0.1)).sum())
    return max(1, alike), Pair(learnt[nearest].stem, held[k].stem)


def _sequences(
    train: Sequence[tuple[str, int | None]], val: Sequence[tuple[str, int | None]]
) -> dict[str, tuple[int, int]]:
    """Count the images of sequences that validation was taken from and training has as well.

    Names that are shared in proportion say nothing, as years or kinds of images in a split that was
    drawn. Validation from some of the sequences alone was not drawn: a part of a drive was set
    aside, and the rest of it is learnt.
    """
    learnt = Counter(name for name, number in train if number is not None)
    held = Counter(name for name, number in val if number is not None)
    shared = {name: (learnt[name], held[name]) for name in sorted(held) if name in learnt}
    amount = sum(held[name] for name in shared)
    if not shared or amount < _FEWEST:
        return {}
    # How probable a draw is that has none of the other sequences.
    share = sum(learnt[name] for name in shared) / learnt.total()
    return shared if share**amount < _IMPROBABLE else {}
