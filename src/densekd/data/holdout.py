"""Split of images into training, validation and test by groups, seeded and written down as lists."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from annotated_types import Ge, Lt

from densekd.atomic import write_text
from densekd.data.files import read_lines
from densekd.data.found import Source
from densekd.data.look_alike import NEAR, are_telling, distances, look_of
from densekd.errors import UserError
from densekd.seal import read_document, write_document

LISTS = "splits"
# Split of all images, where they are not divided.
ALL = "all"
_FACTS = "split.json"


class HeldOut(Protocol):
    """An image that goes into one of the splits."""

    @property
    def stem(self) -> str: ...  # noqa: D102

    @property
    def image(self) -> Source: ...  # noqa: D102


H = TypeVar("H", bound=HeldOut)


@dataclass(frozen=True)
class Holdout:
    """Which share of the images is kept for validation and test.

    Args:
        val: share of the images to validate on.
        test: share of the images for a split ``test``.
        seed: of the draw.
        groups: ``folder``, or a regular expression: images whose paths match alike (by the first
            group in it, or the whole match) are a group, such as a drive, a patient or a tile, and
            stay together; null: every image for itself.
    """

    val: Annotated[float, Ge(0), Lt(1)] = 0.2
    test: Annotated[float, Ge(0), Lt(1)] = 0.0
    seed: int = 0
    groups: str | None = None


def held_out(root: Path, split: str, items: Sequence[H], holdout: Holdout | None) -> tuple[H, ...]:
    """Return the images of one split, as the lists in ``splits`` say; they are written once.

    Near-duplicates, such as neighboring frames of a video, stay together.

    Args:
        root: of the data, where the lists are.
        split: ``train``, ``val`` or ``test``, the name of a list, or ``all``.
        items: all images.
        holdout: how to draw; None: lists are there.

    Raises:
        UserError: no such list, a list of other images or another draw, or nothing to draw from.
    """
    folder = root / LISTS
    if holdout is not None:
        _write_once(folder, items, holdout)
    lists = {path.stem: read_lines(path) for path in sorted(folder.glob("*.txt"))}
    if split == ALL and ALL not in lists:
        return tuple(items)
    if split not in lists:
        raise UserError(f"{folder}: no list {split}.txt; there is {', '.join(lists) or 'none'}.")
    by_stem = {item.stem: item for item in items}
    missing = [stem for stem in lists[split] if stem not in by_stem]
    if missing:
        raise UserError(
            f"{folder / split}.txt: {len(missing)} of its images are not there, the first: {missing[0]}. Restore "
            "them, or remove their lines."
        )
    listed = {stem for stems in lists.values() for stem in stems}
    new = [stem for stem in by_stem if stem not in listed]
    if new:
        raise UserError(
            f"{folder}: {len(new)} images are in no list, the first: {new[0]}. Add them to {split}.txt or another, "
            f"or remove {folder} to draw anew; then scores are no longer comparable."
        )
    return tuple(by_stem[stem] for stem in lists[split])


def has_lists(root: Path) -> bool:
    """Return True where images are divided by lists."""
    return any((root / LISTS).glob("*.txt"))


def draw(stems: Sequence[str], groups: Sequence[int], holdout: Holdout) -> dict[str, list[str]]:
    """Divide images into ``train``, ``val`` and ``test``; a group goes into one of them.

    Args:
        stems: of the images.
        groups: number of each image's group.
        holdout: shares and seed.

    Raises:
        UserError: too few groups for these shares.
    """
    members: dict[int, list[str]] = defaultdict(list)
    for stem, group in zip(stems, groups, strict=True):
        members[group].append(stem)
    order = np.random.default_rng(holdout.seed).permutation(len(members))
    shuffled = [list(members.values())[k] for k in order]
    drawn: dict[str, list[str]] = {}
    for name, share in (("val", holdout.val), ("test", holdout.test)):
        if share == 0:
            continue
        drawn[name] = _take(shuffled, round(share * len(stems)))
    drawn["train"] = [stem for group in shuffled for stem in group]
    empty = [name for name, chosen in drawn.items() if not chosen]
    if empty:
        raise UserError(
            f"{len(stems)} images in {len(members)} groups are too few for a split '{empty[0]}': images of one group, "
            "and images that look alike, stay together. Add images, or name the groups with data.split.groups."
        )
    return {name: sorted(chosen) for name, chosen in drawn.items()}


def _take(groups: list[list[str]], wanted: int) -> list[str]:
    """Take groups off the front until about so many images are taken; one group at least stays."""
    taken: list[str] = []
    position = 0
    while position < len(groups) and len(groups) > 1:
        size = len(groups[position])
        # A group that leads further away than it brings near is left for training.
        if taken and abs(len(taken) + size - wanted) > abs(len(taken) - wanted):
            position += 1
            continue
        if not taken and size > 2 * max(1, wanted) and position + 1 < len(groups):
            position += 1
            continue
        taken += groups.pop(position)
        if len(taken) >= wanted:
            break
    return taken


def _write_once(folder: Path, items: Sequence[HeldOut], holdout: Holdout) -> None:
    """Write the lists, unless they are there and were drawn in the same way."""
    facts: dict[str, Any] = asdict(holdout)
    path = folder / _FACTS
    if path.exists():
        written = read_document(path, f"Or remove {folder} to draw anew.")
        if written != facts:
            raise UserError(
                f"{path}: the images were divided with {json.dumps(written)}, and the recipe says {json.dumps(facts)}. "
                f"Write the former into data.split, or remove {folder} to draw anew."
            )
        return
    if has_lists(folder.parent):
        raise UserError(f"{folder}: there are lists already; remove data.split from the recipe to use them.")
    lists = draw([item.stem for item in items], group_images(items, holdout.groups), holdout)
    try:
        folder.mkdir(exist_ok=True)
        for name, stems in lists.items():
            write_text(folder / f"{name}.txt", "\n".join(stems) + "\n")
        write_document(path, facts, indent=None)
    except OSError as error:
        raise UserError(
            f"{folder}: the lists of the split cannot be written ({error}). Make {folder.parent} writable once, or "
            "put train.txt and val.txt, a stem a line, there."
        ) from error


def group_images(items: Sequence[HeldOut], groups: str | None) -> list[int]:
    """Number the groups of images: those of one name, joined where images look alike.

    Raises:
        UserError: a regular expression that is none, or fits not every image.
    """
    parents = list(range(len(items)))

    def root_of(k: int) -> int:
        while parents[k] != k:
            parents[k] = parents[parents[k]]
            k = parents[k]
        return k

    def join(a: int, b: int) -> None:
        first, second = sorted((root_of(a), root_of(b)))
        parents[second] = first

    firsts: dict[str, int] = {}
    # Without groups every image is one of its own, before look-alikes are joined.
    names = [] if groups is None else group_names([item.stem for item in items], groups)
    for k, name in enumerate(names):
        join(firsts.setdefault(name, k), k)
    _join_similar([look_of(item) for item in items], join)
    return [root_of(k) for k in range(len(items))]


def group_names(stems: Sequence[str], groups: str, key: str = "data.split.groups") -> list[str]:
    """Name the group of each image: its folder, or what a regular expression finds in its path.

    Args:
        stems: paths of the images without their endings.
        groups: ``folder``, or the expression; its first group counts, or else the whole match.
        key: of the recipe, for the message.

    Raises:
        UserError: a regular expression that is none, or fits not every image.
    """
    if groups == "folder":
        return [str(Path(stem).parent) for stem in stems]
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise UserError(f"{key}: '{groups}' is no regular expression ({error}).") from error
    names: list[str] = []
    for stem in stems:
        match = pattern.search(stem)
        # A group of the expression that took no part in the match names nothing.
        name = None if match is None else match.group(1 if pattern.groups else 0)
        if name is None:
            raise UserError(f"{key}: '{groups}' does not match the image '{stem}'.")
        names.append(name)
    return names


def _join_similar(looks: Sequence[np.ndarray], join: Callable[[int, int], None]) -> None:
    """Join every two images whose fingerprints differ in few bits."""
    table = np.array(looks)
    telling = are_telling(looks)
    for k in range(len(table)):
        if not telling[k]:
            continue
        for other in np.flatnonzero(distances(table[k], table[k + 1 :]) <= NEAR):
            join(k, int(other) + k + 1)
