"""Read from ``results.json`` how long student and student alone were trained, and say what that compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from densekd.report.text import whole

# With the recipe's key that would tell.
_MISSING = "not measured (baseline: both)"


@dataclass(frozen=True)
class Budget:
    """Length of two trainings.

    Args:
        steps: of the distillation.
        baseline_steps: of the student alone; None where its recipe is not known.
        equal_seconds: whether the student alone got the time that the distillation took.
        longer_steps: of a second student alone, which got that time; None without one.
    """

    steps: int
    baseline_steps: int | None
    equal_seconds: bool
    longer_steps: int | None = None

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

    def sentence(self, compared: str, longer: str | None = None) -> str:
        """Say what is known at equal steps and at equal seconds.

        Args:
            compared: how the student lies to the student alone, "4.2 points above".
            longer: to the second one, of as many seconds, if there is one.
        """
        if self.baseline_steps is None:
            return "How long the student alone was trained is not known: neither steps nor seconds need be equal."
        trained = [steps for steps in (self.baseline_steps, self.longer_steps) if steps is not None]
        lengths = f"{whole(self.steps)} steps against {' and '.join(map(whole, trained))} alone"
        if not self.equal_steps and not self.equal_seconds:
            return f"With {lengths} neither is equal: not measured at equal steps, nor at equal seconds."
        steps = compared if self.equal_steps else _MISSING
        seconds = longer or (compared if self.equal_seconds else _MISSING)
        return f"At equal steps: {steps}; at equal seconds: {seconds}. That is {lengths}."


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
        longer_steps=None if value.get("baseline_seconds_steps") is None else _count(value, "baseline_seconds_steps"),
    )


def _count(fields: Mapping[str, Any], name: str) -> int:
    found = fields.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"'budget.{name}' must be a whole number of at least 1, not {found!r}")
    return found
