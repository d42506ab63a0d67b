"""Every file of a data set before the first GPU hour: read, measured, compared.

All problems are listed, not only the first.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from densekd.data.contract import Files
from densekd.data.facts import Facts, picture_remarks, unreadable
from densekd.data.picture import PictureKind, max_megapixels, set_max_megapixels
from densekd.errors import UserError

# Reads the one image of some files with its label, boxes or map.
Look = Callable[[Any], Facts]
# Kinds of things that are counted, each with the names of what is counted; the classes come first.
Counted = Mapping[str, Sequence[str]]


class Problem(NamedTuple):
    """Something that is wrong with a file.

    Args:
        level: ``error`` stops a training, ``warning`` deserves a look.
        split: where.
        file: the file, or the folder.
        what: what is wrong and how to fix it.
    """

    level: Literal["error", "warning"]
    split: str
    file: str
    what: str


class SplitFacts(NamedTuple):
    """One split as it was read: name, files, what is counted in them, the facts of every image."""

    split: str
    files: Files
    counted: Counted
    facts: Sequence[Facts]


class Pictures(NamedTuple):
    """How many images of one kind there are, and their least and greatest value as stored, or None."""

    images: int
    values: tuple[float, float] | None


@dataclass(frozen=True)
class SplitReport:
    """What was found in one split.

    Args:
        split: its name.
        images: how many.
        sizes: (height, width) -> how many images, the most frequent first.
        counts: of what there is how much, kind by kind, the classes first.
        pictures: kind of picture, mode and bits a channel -> what is known of them.
        orientations: EXIF orientation -> how many images, the most frequent first.
    """

    split: str
    images: int
    sizes: Mapping[tuple[int, int], int]
    counts: Mapping[str, Mapping[str, int]]
    pictures: Mapping[str, Pictures] = field(default_factory=dict)
    orientations: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DataReport:
    """What was found in all splits."""

    splits: tuple[SplitReport, ...]
    problems: tuple[Problem, ...]

    @property
    def fails(self) -> bool:
        """Say whether a training would fail."""
        return any(problem.level == "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        splits: dict[str, Any] = {}
        for report in self.splits:
            sizes = {f"{height}x{width}": count for (height, width), count in report.sizes.items()}
            pictures = {kind: one._asdict() for kind, one in report.pictures.items()}
            splits[report.split] = {
                "images": report.images,
                "sizes": sizes,
                "pictures": pictures,
                "orientations": {str(number): count for number, count in report.orientations.items()},
                **report.counts,
            }
        problems = [problem._asdict() for problem in self.problems]
        return {"fails": self.fails, "splits": splits, "problems": problems}


def look_at_all(look: Look, files: Files, workers: int) -> Iterator[Facts]:
    """Yield the facts of every image, in order, read by some processes (0: this one).

    Args:
        look: the task's own, see :class:`densekd.tasks.protocol.Task`.
        files: of one split.
        workers: processes.
    """
    kind: Any = files  # of which replace() makes the same kind again
    # One by one, so that a process is sent what it reads and not the whole list.
    alone = (replace(kind, items=(item,)) for item in files.items)
    guarded = partial(_guarded, look)
    if workers == 0:
        yield from map(guarded, alone)
        return
    # A process may not inherit the limit of what is decoded.
    with ProcessPoolExecutor(workers, initializer=set_max_megapixels, initargs=(max_megapixels(),)) as pool:
        yield from pool.map(guarded, alone, chunksize=16)


def summarize(splits: Sequence[SplitFacts], of_splits: Sequence[Problem] = ()) -> DataReport:
    """Put facts together: counts per split, images that occur twice.

    Args:
        splits: what was read.
        of_splits: problems of whole splits, such as one that could not be listed.
    """
    reports: list[SplitReport] = []
    problems = list(of_splits)
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in splits:
        for item, fact in zip(one.files.items, one.facts, strict=True):
            problems += _problems(one.split, str(item.image), fact)
            if fact.digest:
                places[fact.digest].append((one.split, str(item.image)))
        names = [str(item.image) for item in one.files.items]
        for remark in picture_remarks(names, one.facts):
            problems.append(Problem("warning", one.split, remark.first, remark.what))
        reports.append(_split_report(one))
    # One image in two splits makes scores meaningless; twice in one split, it counts double.
    for found in places.values():
        if len(found) > 1:
            problems.append(_twice(found))
    return DataReport(tuple(reports), tuple(problems))


def _guarded(look: Look, files: Files) -> Facts:
    """Turn what stops the reading of one image into its facts, so that the others are read too."""
    try:
        return look(files)
    except UserError as error:
        return unreadable(str(error))
    except OSError as error:
        return unreadable(f"{files.items[0].image}: cannot be read ({error}).")


def _problems(split: str, image: str, fact: Facts) -> list[Problem]:
    found: list[Problem] = []
    if fact.error:
        found.append(Problem("error", split, image, fact.error))
    if fact.warning:
        found.append(Problem("warning", split, image, fact.warning))
    return found


def _split_report(one: SplitFacts) -> SplitReport:
    """Add up the counts and sizes of all images of a split, kind by kind."""
    totals = [np.zeros(len(names), np.int64) for names in one.counted.values()]
    sizes: Counter[tuple[int, int]] = Counter()
    for fact in one.facts:
        if fact.size is not None:
            sizes[fact.size] += 1
        if fact.counts:
            for total, count in zip(totals, fact.counts, strict=True):
                total += count
    counts: dict[str, dict[str, int]] = {}
    for (kind, names), total in zip(one.counted.items(), totals, strict=True):
        counts[kind] = dict(zip(names, total.tolist(), strict=True))
    kinds = [fact.kind for fact in one.facts if fact.kind is not None]
    turns = Counter(kind.orientation for kind in kinds)
    by_size = dict(sizes.most_common())
    return SplitReport(one.split, len(one.files), by_size, counts, _pictures(kinds), dict(turns.most_common()))


def _pictures(kinds: Sequence[PictureKind]) -> dict[str, Pictures]:
    """Count the kinds of pictures, the most frequent first, each with the range of its values."""
    found: dict[str, Pictures] = {}
    for name, count in Counter(map(str, kinds)).most_common():
        ranges = [kind.values for kind in kinds if str(kind) == name and kind.values is not None]
        values = None
        if ranges:
            values = (min(low for low, _ in ranges), max(high for _, high in ranges))
        found[name] = Pictures(count, values)
    return found


def _twice(places: Sequence[tuple[str, str]]) -> Problem:
    (split, file), *others = places
    listed = ", ".join(f"{path} ({other})" for other, path in others)
    # Between splits, a model is scored on what it has learned.
    leaks = any(other != split for other, _ in others)
    consequence = "; scores on it prove nothing" if leaks else ""
    return Problem("warning", split, file, f"the same image as {listed}{consequence}")
