"""Every file of a data set before the first GPU hour: read, measured, compared; all problems, not only the first."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from densekd.data.detection import DetectionFiles
from densekd.data.facts import Facts, counted, look
from densekd.data.files import SegmentationFiles


class Problem(NamedTuple):
    """Something that is wrong with a file.

    Args:
        level: ``error`` stops a training, ``warning`` deserves a look.
        split: where.
        file: the file, or the folder.
        what: what is wrong and how to mend it.
    """

    level: Literal["error", "warning"]
    split: str
    file: str
    what: str


@dataclass(frozen=True)
class SplitReport:
    """What was found in one split.

    Args:
        split: its name.
        images: how many.
        sizes: (height, width) -> how many images, the most frequent first.
        counts: of what there is how much, the classes first; see :func:`densekd.data.facts.counted`.
    """

    split: str
    images: int
    sizes: Mapping[tuple[int, int], int]
    counts: Mapping[str, Mapping[str, int]]


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
        splits = {
            report.split: {
                "images": report.images,
                "sizes": {f"{height}x{width}": count for (height, width), count in report.sizes.items()},
                **report.counts,
            }
            for report in self.splits
        }
        return {"fails": self.fails, "splits": splits, "problems": [problem._asdict() for problem in self.problems]}


def look_at_all(files: SegmentationFiles | DetectionFiles, workers: int) -> Iterator[Facts]:
    """Yield the facts of every image, in order, read by some processes (0: this one)."""
    # One by one, so that a process is sent what it reads and not the whole list.
    kind: Any = files  # of which replace() makes the same kind again
    alone = (replace(kind, items=(item,)) for item in files.items)
    if workers == 0:
        yield from map(look, alone)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(look, alone, chunksize=16)


def summarise(
    splits: Iterable[tuple[str, SegmentationFiles | DetectionFiles, Sequence[Facts]]], missing: Sequence[Problem] = ()
) -> DataReport:
    """Put facts together: counts per split, classes never seen, images that occur twice.

    Args:
        splits: name, files and their facts.
        missing: problems of splits that could not even be listed.
    """
    reports, problems, seen = [], list(missing), defaultdict(list)
    for split, files, facts in splits:
        for image, fact in zip([str(item.image) for item in files.items], facts, strict=True):
            problems += [Problem("error", split, image, fact.error)] if fact.error else []
            problems += [Problem("warning", split, image, fact.warning)] if fact.warning else []
            if fact.digest:
                seen[fact.digest].append((split, image))
        counts = _add(counted(files), [fact.counts for fact in facts if fact.counts])
        sizes = Counter(fact.size for fact in facts if fact.size is not None)
        reports.append(SplitReport(split, len(files), dict(sizes.most_common()), counts))
        occur = next(iter(counts.values()))
        absent = [name for name in files.classes.names if not occur[name]]
        if absent and sizes:
            problems.append(Problem("warning", split, "", f"{len(absent)} classes never occur: {', '.join(absent)}"))
    problems += [_twice(places) for places in seen.values() if len(places) > 1]
    return DataReport(tuple(reports), tuple(problems))


def _add(kinds: Mapping[str, Sequence[str]], counts: Sequence[tuple[np.ndarray, ...]]) -> dict[str, dict[str, int]]:
    """Add the counts of all images, kind by kind."""
    totals = [sum(one, np.zeros(len(names), np.int64)) for names, *one in zip(kinds.values(), *counts, strict=True)]
    return {
        kind: dict(zip(names, total.tolist(), strict=True))
        for (kind, names), total in zip(kinds.items(), totals, strict=True)
    }


def _twice(places: Sequence[tuple[str, str]]) -> Problem:
    (split, file), *others = places
    leaks = any(other != split for other, _ in others)
    what = f"the same image as {', '.join(f'{path} ({other})' for other, path in others)}"
    return Problem("warning", split, file, what + ("; scores on it prove nothing" if leaks else ""))
