"""Every file of a data set before the first GPU hour: read, measured, compared; all problems, not only the first."""

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from densekd.data.files import SegmentationFiles
from densekd.errors import UserError

_EXIF_ORIENTATION = 0x0112


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


class Facts(NamedTuple):
    """What is known of one image and its label.

    Args:
        size: (height, width), or None where the pair cannot be read.
        pixels: 256 counts of the mapped label's values.
        digest: of the image file's bytes.
        error: why the pair cannot be read, or None.
        warning: what is odd about it, or None.
    """

    size: tuple[int, int] | None
    pixels: np.ndarray
    digest: str
    error: str | None
    warning: str | None


@dataclass(frozen=True)
class SplitReport:
    """What was found in one split.

    Args:
        split: its name.
        images: how many.
        sizes: (height, width) -> how many images, the most frequent first.
        histogram: pixels of each class, then void.
    """

    split: str
    images: int
    sizes: Mapping[tuple[int, int], int]
    histogram: Sequence[int]


@dataclass(frozen=True)
class DataReport:
    """What was found in all splits."""

    names: tuple[str, ...]
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
                "pixels": dict(zip((*self.names, "void"), report.histogram, strict=True)),
            }
            for report in self.splits
        }
        return {"fails": self.fails, "splits": splits, "problems": [problem._asdict() for problem in self.problems]}


def look(files: SegmentationFiles, index: int) -> Facts:
    """Read one image and its label and note everything about them."""
    item = files.items[index]
    none = np.zeros(256, dtype=np.int64)
    try:
        image, label = files.pair(index)
        content = item.image.read_bytes()
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        with Image.open(io.BytesIO(content)) as picture:
            turned = picture.getexif().get(_EXIF_ORIENTATION, 1)
    except UserError as error:
        return Facts(None, none, "", str(error), None)
    except OSError as error:
        return Facts(None, none, "", f"{item.image}: cannot be read ({error}).", None)
    odd = [source for source in (item.image, item.label) if source.suffix != source.suffix.lower()]
    warnings = [
        f"the suffix of {Path(str(source)).name} is not in lower case; other tools will not find it" for source in odd
    ]
    if turned != 1:
        warnings.append(f"EXIF orientation {turned} is ignored; turn the pixels if the label is meant turned")
    pixels = np.bincount(label.ravel(), minlength=256)
    height, width = image.shape[:2]
    return Facts((height, width), pixels, digest, None, "; ".join(warnings) or None)


def look_at_all(files: SegmentationFiles, workers: int) -> Iterator[Facts]:
    """Yield the facts of every image, in order, read by some processes (0: this one)."""
    if workers == 0:
        yield from map(partial(look, files), range(len(files)))
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(partial(look, files), range(len(files)), chunksize=16)


def summarise(
    names: tuple[str, ...],
    ignore_index: int,
    splits: Iterable[tuple[str, SegmentationFiles, Sequence[Facts]]],
    missing: Sequence[Problem] = (),
) -> DataReport:
    """Put facts together: counts per split, classes never seen, images that occur twice.

    Args:
        names: of the C classes.
        ignore_index: of void pixels.
        splits: name, files and their facts.
        missing: problems of splits that could not even be listed.
    """
    reports, problems, seen = [], list(missing), defaultdict(list)
    for split, files, facts in splits:
        for item, fact in zip(files.items, facts, strict=True):
            problems += [Problem("error", split, str(item.image), fact.error)] if fact.error else []
            problems += [Problem("warning", split, str(item.image), fact.warning)] if fact.warning else []
            if fact.digest:
                seen[fact.digest].append((split, str(item.image)))
        total = sum((fact.pixels for fact in facts), np.zeros(256, dtype=np.int64))
        histogram = [int(n) for n in (*total[: len(names)], total[ignore_index])]
        sizes = [fact.size for fact in facts if fact.size is not None]
        reports.append(
            SplitReport(split, len(files), {size: sizes.count(size) for size in sorted(set(sizes))}, histogram)
        )
        absent = [name for name, pixels in zip(names, histogram, strict=False) if not pixels]
        if absent and sizes:
            problems.append(Problem("warning", split, "", f"{len(absent)} classes never occur: {', '.join(absent)}"))
    problems += [_twice(places) for places in seen.values() if len(places) > 1]
    return DataReport(names, tuple(reports), tuple(problems))


def _twice(places: Sequence[tuple[str, str]]) -> Problem:
    (split, file), *others = places
    leaks = any(other != split for other, _ in others)
    what = f"the same image as {', '.join(f'{path} ({other})' for other, path in others)}"
    return Problem("warning", split, file, what + ("; scores on it prove nothing" if leaks else ""))
