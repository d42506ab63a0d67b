"""Leaderboard of a sweep: mean and deviation over seeds, differences to the baseline, and what they are worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from rich.table import Table

from densekd.errors import UserError
from densekd.metric_names import MetricName, MetricNames
from densekd.seal import read_document, write_document
from densekd.students_t import half_width
from densekd.sweep.queue import Entry, Queue
from densekd.sweep.trials import SEED

FILE = "leaderboard.json"
_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Difference:
    """Difference of a row to its baseline, paired by seed; positive: better.

    Args:
        mean: over the seeds that both have.
        low: of the interval that holds the true mean in 95 % of cases (Student's t); None with one seed.
        high: as ``low``.
        pairs: number of seeds.
        word: what can be said of it.
    """

    mean: float
    low: float | None
    high: float | None
    pairs: int
    word: str


@dataclass(frozen=True)
class Row:
    """One combination of the axes without the seed.

    Args:
        point: axis -> name.
        metric: what the scores are.
        split: what they were computed on.
        scores: seed -> score; of a random search those of its best draw.
        draw: number of that draw, None without a search.
        drawn: key -> value of that draw.
        missing: trials without a score.
        is_baseline: whether others are compared with it.
        difference: to the baseline, where there is one to compare with.
    """

    point: Mapping[str, str]
    metric: MetricName
    split: str
    scores: Mapping[str, float]
    draw: int | None
    drawn: Mapping[str, Any]
    missing: Sequence[str]
    is_baseline: bool
    difference: Difference | None

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.scores.values())

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds; None with one."""
        return stdev(self.scores.values()) if len(self.scores) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        content = {**asdict(self), "mean": self.mean, "deviation": self.deviation, "n": len(self.scores)}
        return {key: value for key, value in content.items() if key != "metric"} | {"metric": asdict(self.metric)}


@dataclass(frozen=True)
class _Scored:
    """A finished trial and its score."""

    entry: Entry
    metric: MetricName
    split: str
    score: float


def leaderboard(queue: Queue) -> list[Row]:
    """Return a row for each combination of the axes that has a score, the best first."""
    scored = {entry.name: _score(queue, entry) for entry in queue.entries}
    groups: dict[tuple[tuple[str, str], ...], list[Entry]] = {}
    for entry in queue.entries:
        groups.setdefault(_key(entry.row), []).append(entry)
    plain: dict[tuple[tuple[str, str], ...], Row] = {}
    for key, entries in groups.items():
        found = [one for one in (scored[entry.name] for entry in entries) if one is not None]
        missing = [entry.name for entry in entries if scored[entry.name] is None]
        if found:
            plain[key] = _row(entries[0], found, missing, queue.baseline)
    rows = []
    for row in plain.values():
        base = plain.get(_key({**row.point, **queue.baseline}))
        rows.append(row if base is None else _compared(row, base))
    return sorted(rows, key=lambda row: row.metric.gain(0.0, row.mean))


def write_leaderboard(queue: Queue) -> list[Row]:
    """Write ``leaderboard.json``, as of now; return its rows.

    Several processes may do so at once: who finds that a trial was finished meanwhile does it again.
    """
    while True:
        done = _finished(queue)
        rows = leaderboard(queue)
        content = {
            "rows": [row.to_json() for row in rows],
            "failed": {name: queue.failure(name) for name in _failed(queue)},
            "trials": len(queue.entries),
            "done": len(done[0]),
        }
        write_document(queue.path / FILE, content)
        if _finished(queue) == done:
            return rows


def leaderboard_table(rows: Sequence[Row]) -> Table:
    """Return the leaderboard for the terminal."""
    axes = list(rows[0].point) if rows else []
    caption = (
        "difference: paired by seed, with its 95 % interval; not distinguishable: the interval holds 0, so that the "
        "seeds differ by as much"
    )
    # The score is named once, unless the trials have several.
    labels = {row.metric.label for row in rows}
    title = labels.pop() if len(labels) == 1 else None
    heads = ("n", "mean", "std", "diff", "95 %", "")
    table = Table(*axes, *heads, title=title, title_justify="left", caption=caption, caption_justify="left")
    # An interval may have two lines.
    for column in table.columns[len(axes) : -2]:
        column.justify = "right"
    for row in rows:
        table.add_row(*[row.point.get(axis, "") for axis in axes], *_cells(row, named=title is None))
    return table


def _cells(row: Row, named: bool) -> list[str]:
    """Return what follows the axes; the mean with its score's name where that is not said above."""
    metric = row.metric
    digits = metric.digits + 1
    mean = f"{row.mean:.{digits}f}"
    if named:
        mean = f"{metric.label} {mean}"
    deviation = _DASH if row.deviation is None else f"{row.deviation:.{digits}f}"
    cells = [str(len(row.scores)), mean, deviation]
    word = "baseline" if row.is_baseline else ""
    found = row.difference
    if found is None:
        cells += ["", ""]
    else:
        between = _DASH if found.low is None else f"{found.low:+.{digits}f} to {found.high:+.{digits}f}"
        cells += [f"{found.mean:+.{digits}f}", between]
        word = found.word
    if row.draw is not None:
        drawn = ", ".join(f"{key}={value}" for key, value in row.drawn.items())
        word = f"{word}; best draw {row.draw}: {drawn}".removeprefix("; ")
    return [*cells, word]


def _score(queue: Queue, entry: Entry) -> _Scored | None:
    """Read the headline score of a trial; None where it has none."""
    if not queue.is_done(entry.name):
        return None
    try:
        results = read_document(queue.run(entry.name).results)
        metric = MetricNames.from_json(results["metrics"]).headline
        score = results["student"][metric.key]
    except (UserError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(score, int | float) or not math.isfinite(score):
        return None
    return _Scored(entry, metric, str(results.get("split")), float(score))


def _row(first: Entry, found: Sequence[_Scored], missing: list[str], baseline: Mapping[str, str]) -> Row:
    """Return the row of a combination; of the draws of a random search the best one's."""
    draws: dict[int | None, list[_Scored]] = {}
    for one in found:
        draws.setdefault(one.entry.draw, []).append(one)
    metric = found[0].metric
    # A draw with more seeds comes before one with a better mean of fewer.
    best = max(draws.values(), key=lambda ones: (len(ones), metric.gain(fmean(one.score for one in ones), 0.0)))
    scores = {one.entry.point.get(SEED, "0"): one.score for one in best}
    is_baseline = all(first.row.get(axis) == name for axis, name in baseline.items()) and bool(baseline)
    entry = best[0].entry
    return Row(first.row, metric, best[0].split, scores, entry.draw, entry.drawn, missing, is_baseline, None)


def _compared(row: Row, base: Row) -> Row:
    """Return a row with its difference to the baseline, where the two can be compared."""
    if row.is_baseline or row.metric.key != base.metric.key or row.split != base.split:
        return row
    gains = [row.metric.gain(score, base.scores[seed]) for seed, score in row.scores.items() if seed in base.scores]
    if not gains:
        return row
    content = {name: getattr(row, name) for name in row.__dataclass_fields__}
    return Row(**{**content, "difference": difference(gains)})


def difference(gains: Sequence[float]) -> Difference:
    """Return mean and interval of paired differences, and what can be said of them.

    Args:
        gains: one for each seed; positive: better than the baseline.
    """
    mean = fmean(gains)
    half = half_width(gains)
    if half is None:
        return Difference(mean, None, None, 1, "one seed, cannot be told")
    low, high = mean - half, mean + half
    if low > 0:
        word = "better"
    elif high < 0:
        word = "worse"
    else:
        word = "not distinguishable"
    return Difference(mean, low, high, len(gains), word)


def _key(row: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(row.items())


def _failed(queue: Queue) -> list[str]:
    return [entry.name for entry in queue.entries if queue.failure(entry.name) is not None]


def _finished(queue: Queue) -> tuple[list[str], list[str]]:
    done = [entry.name for entry in queue.entries if queue.is_done(entry.name)]
    return done, _failed(queue)
