"""The scores class by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densekd.metric_names import MetricName
from densekd.report.results import Color, Results, Scores
from densekd.report.text import signed


@dataclass(frozen=True)
class ClassRow:
    """The score of one class, for each model; None where the class is not in the data."""

    name: str
    color: Color | None
    student: float | None
    baseline: float | None
    teacher: float | None

    @property
    def difference(self) -> float | None:
        """Student minus baseline; None unless both have a score."""
        if self.student is None or self.baseline is None:
            return None
        return self.student - self.baseline


def class_rows(results: Results) -> list[ClassRow]:
    """List the classes in the order of the file, the student's first."""
    student = _by_class(results.student)
    baseline = _by_class(results.baseline)
    teacher = _by_class(results.teacher)
    rows: list[ClassRow] = []
    # Models that were scored elsewhere may know other classes.
    for name in dict.fromkeys((*student, *baseline, *teacher)):
        color = results.palette.get(name)
        row = ClassRow(name, color, student.get(name), baseline.get(name), teacher.get(name))
        rows.append(row)
    return rows


def class_summary(rows: Sequence[ClassRow], metric: MetricName) -> str:
    """Say how many classes gained over the baseline, and which gained and lost most.

    The sentence is empty without a baseline.
    """
    # Gains are positive where the student is better, differences where its number is larger.
    gains: dict[str, float] = {}
    differences: dict[str, float] = {}
    for row in rows:
        if row.student is not None and row.baseline is not None:
            gains[row.name] = metric.gain(row.student, row.baseline)
            differences[row.name] = row.student - row.baseline
    if not gains:
        return ""
    better = sum(gain >= metric.level for gain in gains.values())
    sentence = f"{better} of {len(gains)} classes score {metric.better} than alone"
    best = max(gains, key=gains.__getitem__)
    worst = min(gains, key=gains.__getitem__)
    # A difference that is printed as 0 is neither a gain nor a loss.
    parts: list[str] = []
    if gains[best] >= metric.level:
        parts.append(f"{best} gains most ({signed(differences[best], metric)})")
    if gains[worst] <= -metric.level:
        parts.append(f"{worst} loses most ({signed(differences[worst], metric)})")
    if not parts:
        return f"{sentence}."
    return f"{sentence}: {', '.join(parts)}."


def _by_class(scores: Scores | None) -> Mapping[str, float | None]:
    if scores is None:
        return {}
    return scores.by_class
