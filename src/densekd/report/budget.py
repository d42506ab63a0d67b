"""Read from ``results.json`` how long student and student alone were trained, and say what that compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from densekd.report.text import whole

# What each recipe's key trains, for what is missing.
_TRAINED_BY = {"steps": "baseline: train", "seconds": "baseline: equal-seconds"}


@dataclass(frozen=True)
class Budget:
    """Length of two trainings.

    Args:
        steps: of the distillation.
        baseline_steps: of the student alone; None where its recipe is not known.
        equal_seconds: whether the student alone got the time that the distillation took.
    """

    steps: int
    baseline_steps: int | None
    equal_seconds: bool

    @property
    def equal_steps(self) -> bool:
        """Whether both had as many steps."""
        return self.steps == self.baseline_steps

    @property
    def equal(self) -> str:
        """What was equal, as the end of a sentence: "for as many seconds"; empty for nothing."""
        words = {"steps": self.equal_steps, "seconds": self.equal_seconds}
        found = [word for word, is_equal in words.items() if is_equal]
        return f" for as many {' and '.join(found)}" if found else ""

    def sentence(self, compared: str) -> str:
        """Say what is known at equal steps and at equal seconds.

        Args:
            compared: how the student lies to the student alone, "4.2 points above".
        """
        if self.baseline_steps is None:
            return "How long the student alone was trained is not known: neither steps nor seconds need be equal."
        lengths = f"{whole(self.steps)} steps against {whole(self.baseline_steps)} alone"
        if not self.equal_steps and not self.equal_seconds:
            return f"With {lengths} neither is equal: not measured at equal steps, nor at equal seconds."
        parts = []
        for word, is_equal in (("steps", self.equal_steps), ("seconds", self.equal_seconds)):
            found = compared if is_equal else f"not measured ({_TRAINED_BY[word]})"
            parts.append(f"at equal {word}: {found}")
        said = f"{parts[0]}; {parts[1]}"
        return f"{said[0].upper()}{said[1:]}. That is {lengths}."


def read_budget(value: object) -> Budget | None:
    """Read the key ``budget`` of a results file; None where it is missing, as in runs without a baseline.

    Raises:
        ValueError: it is something else; the message says what.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"'budget' must be an object, not {value!r}")
    return Budget(
        steps=_count(value, "steps"),
        baseline_steps=None if value.get("baseline_steps") is None else _count(value, "baseline_steps"),
        equal_seconds=value.get("equal_seconds") is True,
    )


def _count(fields: Mapping[str, Any], name: str) -> int:
    found = fields.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"'budget.{name}' must be a whole number of at least 1, not {found!r}")
    return found
