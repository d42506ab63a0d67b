"""The scores class by class."""

from collections.abc import Sequence
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
        return None if self.student is None or self.baseline is None else self.student - self.baseline


def class_rows(results: Results) -> list[ClassRow]:
    """List the classes in the order of the file, the student's first."""

    def score(scores: Scores | None, name: str) -> float | None:
        return None if scores is None else scores.by_class.get(name)

    names: dict[str, None] = {}
    for scores in (results.student, results.baseline, results.teacher):
        if scores is not None:
            names |= dict.fromkeys(scores.by_class)
    rows: list[ClassRow] = []
    for name in names:
        row = ClassRow(
            name=name,
            color=results.palette.get(name),
            student=score(results.student, name),
            baseline=score(results.baseline, name),
            teacher=score(results.teacher, name),
        )
        rows.append(row)
    return rows


def class_summary(rows: Sequence[ClassRow], metric: MetricName) -> str:
    """Say how many classes gained over the baseline and which gained and lost most; nothing without a baseline."""
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
    best, worst = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    parts: list[str] = []
    if gains[best] >= metric.level:
        parts.append(f"{best} gains most ({signed(differences[best], metric)})")
    if gains[worst] <= -metric.level:
        parts.append(f"{worst} loses most ({signed(differences[worst], metric)})")
    return f"{sentence}: {', '.join(parts)}." if parts else f"{sentence}."
