"""Line charts as coordinates: axes, running medians, thinning; the template only draws them."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from densekd.report.metrics import Point, Series
from densekd.report.text import MINUS

# The drawing in its own units. The page scales it, so only proportions matter.
WIDTH, HEIGHT = 480, 236
LEFT, RIGHT, TOP, BOTTOM = 48, 462, 22, 204

MOST_POINTS = 400  # more than one per unit of width cannot be told apart
SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


@dataclass(frozen=True)
class Axis:
    """A linear map of the values ``low .. high`` to the drawing's ``start .. end``, with ticks every ``step``."""

    low: float
    high: float
    start: float
    end: float
    step: float

    def place(self, value: float) -> float:
        """Return where a value lies in the drawing."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def unit(self) -> tuple[float, str, str]:
        """Number that the labels count in, ending of every label, factor to write at the axis."""
        size = max(abs(self.low), abs(self.high))
        if 0.01 <= size < 10_000:
            return 1.0, "", ""
        if 10_000 <= size < 1e6:
            return 1e3, "k", ""
        if 1e6 <= size < 1e9:
            return 1e6, "M", ""
        # What no prefix makes readable is written with a power of ten at the axis.
        exponent = math.floor(math.log10(size))
        return 10.0**exponent, "", f"\N{MULTIPLICATION SIGN}10{str(exponent).translate(SUPERSCRIPTS)}"

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Place and label of every tick."""
        unit, ending, _ = self.unit
        # As many decimals as the step needs in the unit of the labels.
        digits = max(0, -math.floor(math.log10(self.step / unit) + 1e-9))
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        marks: list[tuple[float, str]] = []
        for index in range(first, last + 1):
            value = index * self.step
            label = f"{value / unit:.{digits}f}{ending}".replace("-", MINUS)
            # Zero has neither decimals nor a prefix.
            marks.append((self.place(value), label if value else "0"))
        return marks


@dataclass(frozen=True)
class Line:
    """One curve: SVG point lists of the bold line and of the faint one, and the bold one's last value."""

    role: str
    bold: str
    faint: str
    last: float

    @property
    def end(self) -> list[str]:
        """The coordinates of the last point: a line of a single point shows as nothing but its end."""
        return self.bold.rpartition(" ")[2].split(",")


@dataclass(frozen=True)
class Chart:
    """One chart, ready to draw."""

    name: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    note: str

    @property
    def smoothed(self) -> bool:
        """Whether bold lines stand before faint ones."""
        return any(line.faint for line in self.lines)


def chart(name: str, series: dict[str, Series], window: int) -> Chart:
    """Lay out a chart.

    Args:
        name: the metric.
        series: role (``student``, ``baseline``, ``teacher``) to its values; at least one point in
            all.
        window: how many neighbours the bold line takes the median of; 1 draws the values
            themselves, alone.

    Returns:
        The chart. Values that would squash the rest of the curve are cut off, and the note says how
        many.

    Raises:
        ValueError: there is no point to draw.
    """
    steps: list[float] = []
    values: list[float] = []
    for one in series.values():
        steps += [step for step, _ in one.points]
        values += [value for _, value in one.points]
    # Both axes hold every value of every line.
    x = axis((first_step(steps), max(steps)), (LEFT, RIGHT))
    # Only what is smoothed may be cut: the level of a teacher far above the curves is no outlier.
    ends = limits(values) if window > 1 else (min(values), max(values))
    y = rounded(axis(ends, (BOTTOM, TOP)))
    lines: list[Line] = []
    for role, one in series.items():
        if one.points:
            lines.append(_line(role, one.points, (x, y), window))
    # What the chart does not show is said below it.
    outside = sum(not y.low <= value <= y.high for value in values)
    lost = sum(one.not_finite for one in series.values())
    notes: list[str] = []
    if outside:
        notes.append(f"{outside} of {len(values)} values beyond the axis.")
    if lost:
        notes.append(f"{lost} not finite and not drawn.")
    return Chart(name, x, y, tuple(lines), " ".join(notes))


def first_step(steps: Sequence[float]) -> float:
    """Begin at step 0 where that wastes little, so that the charts of a run line up, or where there is but one step."""
    first, last = min(steps), max(steps)
    if 0 <= first <= 0.2 * last or first == last:
        return 0.0
    return first


def axis(ends: Point, places: Point) -> Axis:
    """Make an axis with about five ticks at 1, 2 or 5 times a power of ten.

    Equal ends are moved apart.
    """
    low, high = ends
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = abs(low) / 2 or 0.5
        low, high = low - margin, high + margin
    # The step is the next of 1, 2, 5 and 10 times a power of ten above a fifth of the range.
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power
    for factor in (1, 2, 5, 10):
        step = factor * power
        if step >= rough * (1 - 1e-9):
            break
    return Axis(low, high, *places, step)


def rounded(axis: Axis) -> Axis:
    """Widen an axis to the next tick at both ends."""
    # Rounding must not move an end that is a tick already.
    low = math.floor(axis.low / axis.step + 1e-9) * axis.step
    high = math.ceil(axis.high / axis.step - 1e-9) * axis.step
    return Axis(low, high, axis.start, axis.end, axis.step)


def limits(values: Sequence[float]) -> Point:
    """Return the lowest and highest value, without one percent at each end if those would squash the rest."""
    # One percent at each end, if that is anything.
    ranked = sorted(values)
    spare = len(ranked) // 100
    kept = ranked[spare : len(ranked) - spare]
    if kept[-1] > kept[0] and ranked[-1] - ranked[0] > 3 * (kept[-1] - kept[0]):
        return kept[0], kept[-1]
    return ranked[0], ranked[-1]


def smooth(points: Sequence[Point], window: int) -> list[Point]:
    """Take the median of ``window`` neighbours around evenly chosen points, both ends among them.

    At the ends there are fewer neighbours.

    A median, because one step that spiked would lift a mean for the whole width of the window.
    """
    amount = min(len(points), MOST_POINTS)
    half = window // 2
    smoothed: list[Point] = []
    for index in range(amount):
        center = round(index * (len(points) - 1) / max(1, amount - 1))
        near = points[max(0, center - half) : center + half + 1]
        median = statistics.median(value for _, value in near)
        smoothed.append((points[center][0], median))
    return smoothed


def thin(points: Sequence[Point]) -> list[Point]:
    """Keep the lowest and highest point of every stretch, so that a spike never vanishes, and both ends."""
    if len(points) <= MOST_POINTS:
        return list(points)
    size = math.ceil(2 * len(points) / MOST_POINTS)
    kept = {points[0], points[-1]}
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        kept.add(min(stretch, key=itemgetter(1)))
        kept.add(max(stretch, key=itemgetter(1)))
    return sorted(kept)


def _line(role: str, points: Sequence[Point], axes: tuple[Axis, Axis], window: int) -> Line:
    values = thin(points)
    if window == 1:
        return Line(role, _places(values, axes), "", values[-1][1])
    bold = smooth(points, window)
    return Line(role, _places(bold, axes), _places(values, axes), bold[-1][1])


def _places(points: Iterable[Point], axes: tuple[Axis, Axis]) -> str:
    x, y = axes
    return " ".join(f"{x.place(step):.1f},{y.place(value):.1f}" for step, value in points)
