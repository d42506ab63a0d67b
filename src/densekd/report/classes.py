"""The scores class by class."""

from collections.abc import Sequence
from dataclasses import dataclass

from densekd.report.results import Color, Results, Scores
from densekd.report.text import LEVEL, signed


@dataclass(frozen=True)
class ClassRow:
    """The score of one class in percent, for each model; None where the class is not in the data."""

    name: str
    color: Color | None
    student: float | None
    baseline: float | None
    teacher: float | None

    @property
    def gain(self) -> float | None:
        """Student minus baseline, in points; None unless both have a score."""
        return None if self.student is None or self.baseline is None else self.student - self.baseline


def class_rows(results: Results) -> list[ClassRow]:
    """List the classes in the order of the file, the student's first."""

    def score(scores: Scores | None, name: str) -> float | None:
        return None if scores is None else scores.by_class.get(name)

    models = (results.student, results.baseline, results.teacher)
    names = dict.fromkeys(name for scores in models if scores for name in scores.by_class)
    return [
        ClassRow(
            name=name,
            color=results.palette.get(name),
            student=score(results.student, name),
            baseline=score(results.baseline, name),
            teacher=score(results.teacher, name),
        )
        for name in names
    ]


def class_summary(rows: Sequence[ClassRow]) -> str:
    """Say how many classes gained over the baseline and which gained and lost most; nothing without a baseline."""
    gains = {row.name: row.gain for row in rows if row.gain is not None}
    if not gains:
        return ""
    better = sum(gain >= LEVEL for gain in gains.values())
    sentence = f"{better} of {len(gains)} classes score higher than alone"
    best, worst = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    parts = [f"{best} gains most ({signed(gains[best])})"] if gains[best] >= LEVEL else []
    parts += [f"{worst} loses most ({signed(gains[worst])})"] if gains[worst] <= -LEVEL else []
    return f"{sentence}: {', '.join(parts)}." if parts else f"{sentence}."
