"""Names of scores: key in a results file, title, unit, and whether higher or lower is better."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Direction = Literal["higher", "lower"]
# Pictures of class numbers keep every pixel; photographs may be interpolated and compressed with losses.
Pictures = Literal["labels", "photographs"]


@dataclass(frozen=True)
class MetricName:
    """One score.

    Args:
        key: in a results file and, after ``val/``, in ``metrics.csv``.
        title: what people call it.
        unit: ``%`` for percentages from 0 to 100, ``m`` for meters, empty for a plain ratio.
        better: whether ``higher`` or ``lower`` values are better.
        digits: decimals that are shown.
    """

    key: str
    title: str
    unit: str = "%"
    better: Direction = "higher"
    digits: int = 1

    @property
    def label(self) -> str:
        """Title and unit, for the head of a column."""
        if not self.unit:
            return self.title
        return f"{self.title}, {self.unit}"

    @property
    def level(self) -> float:
        """Half of the last decimal shown: smaller differences are called level."""
        return float(0.5 / 10**self.digits)

    def gain(self, value: float, other: float) -> float:
        """Return by how much ``value`` is better than ``other``; negative where it is worse."""
        return value - other if self.better == "higher" else other - value

    def format(self, value: float) -> str:
        """Return the value with its unit: ``48.0 %``, ``0.113``, ``1.25 m``.

        There is no line break before the unit.
        """
        number = f"{value:.{self.digits}f}"
        if not self.unit:
            return number
        return f"{number}\N{NO-BREAK SPACE}{self.unit}"


@dataclass(frozen=True)
class Remark:
    """A score that is told in a sentence: ``It`` and ``clause``, in which ``{}`` stands for the value.

    Args:
        name: of the score.
        clause: begins with a verb, for instance ``gives {} of the pixels the teacher's class``.
    """

    name: MetricName
    clause: str


@dataclass(frozen=True)
class MetricNames:
    """The scores of one task.

    Args:
        names: in the order they are shown for one model.
        compared: keys of those that several models are compared by, the headline first.
        by_class: the score that each class has, if there are classes.
        interval: key of the headline's confidence interval ``[low, high]`` (95 %, over images), if
            there is one.
        remarks: scores of the student that are told in sentences.
        details: keys that ``densekd evaluate --json`` writes and a results file leaves out, being
            too large.
        pictures: what the pictures of predictions are.
    """

    names: tuple[MetricName, ...]
    compared: tuple[str, ...]
    by_class: MetricName | None = None
    interval: str | None = None
    remarks: tuple[Remark, ...] = ()
    details: tuple[str, ...] = ()
    pictures: Pictures = "labels"

    def __getitem__(self, key: str) -> MetricName:
        """Return the score of a key."""
        for name in self.names:
            if name.key == key:
                return name
        raise KeyError(key)

    @property
    def headline(self) -> MetricName:
        """The one score that models are compared by, and the best checkpoint is chosen by."""
        return self[self.compared[0]]

    @property
    def columns(self) -> list[MetricName]:
        """The scores that several models are compared by."""
        return [self[key] for key in self.compared]

    def to_json(self) -> dict[str, Any]:
        """Return plain data, which a results file carries so that whoever reads it need not know the task."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "MetricNames":
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: something is missing or of the wrong kind.
        """
        try:
            by_class = content.get("by_class")
            remarks = content.get("remarks", ())
            found = cls(
                names=tuple(_name(one) for one in content["names"]),
                compared=tuple(content["compared"]),
                by_class=None if by_class is None else _name(by_class),
                interval=content.get("interval"),
                remarks=tuple(Remark(_name(one["name"]), one["clause"]) for one in remarks),
                details=tuple(content.get("details", ())),
                pictures=content.get("pictures", "labels"),
            )
            # Every key that is compared must have a name.
            assert found.columns, "nothing is compared"
        except (KeyError, TypeError, AttributeError, IndexError, AssertionError) as error:
            raise ValueError(f"'metrics' must describe the scores as densekd writes them ({error!r})") from error
        return found


def _name(content: Mapping[str, Any]) -> MetricName:
    name = MetricName(**content)
    if name.better not in ("higher", "lower"):
        raise TypeError(f"better is {name.better!r}, neither higher nor lower")
    return name
