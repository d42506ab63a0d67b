"""Read the latency on the machine that trained from ``results.json``, and say it in a sentence."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# As a sentence calls them, in its order.
_ROLES = {"student": "the student", "baseline": "the same student trained alone", "teacher": "the teacher"}


@dataclass(frozen=True)
class Latency:
    """Time of one picture in eager PyTorch, models in turns.

    Args:
        size: height and width of the picture.
        hardware: name of processor or GPU; may be empty.
        threads: of the processor; 0 on a GPU.
        runs: of each model.
        milliseconds: median of the runs by role.
    """

    size: tuple[int, int]
    hardware: str
    threads: int
    runs: int
    milliseconds: Mapping[str, float]

    @property
    def sentence(self) -> str:
        """Say what a picture takes: "One picture of 64 x 96 takes the student 3.1 ms, ..."."""
        parts = []
        for role, title in _ROLES.items():
            if role in self.milliseconds:
                parts.append(f"{title} {shown(self.milliseconds[role])} ms")
        return f"On this machine ({self.where}) one picture of {self.size[0]} x {self.size[1]} takes {_joined(parts)}."

    @property
    def where(self) -> str:
        """Say on what it was measured, and how often."""
        words = [self.hardware] if self.hardware else []
        if self.threads:
            words.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        return ", ".join([*words, f"PyTorch, median of {self.runs}"])


def read_latency(value: object) -> Latency | None:
    """Read the key ``latency`` of a results file; None where it is missing.

    Raises:
        ValueError: it is something else; the message says what.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"'latency' must be an object, not {value!r}")
    match value.get("size"):
        case [int(height), int(width)]:
            size = (height, width)
        case other:
            raise ValueError(f"'latency.size' must be two whole numbers, not {other!r}")
    threads = _whole(value, "threads")
    if value.get("device") != "cpu":
        threads = 0
    return Latency(size, str(value.get("hardware") or ""), threads, _whole(value, "runs"), _milliseconds(value))


def shown(milliseconds: float | None) -> str:
    """Write milliseconds with about three digits; an en dash for None."""
    if milliseconds is None:
        return "\N{EN DASH}"
    if milliseconds >= 100:
        return f"{milliseconds:.0f}"
    return f"{milliseconds:.1f}" if milliseconds >= 10 else f"{milliseconds:.2f}"


def _whole(fields: Mapping[str, Any], name: str) -> int:
    found = fields.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError(f"'latency.{name}' must be a whole number, not {found!r}")
    return found


def _milliseconds(fields: Mapping[str, Any]) -> dict[str, float]:
    found = fields.get("milliseconds")
    if not isinstance(found, dict):
        raise ValueError(f"'latency.milliseconds' must be an object, not {found!r}")
    read: dict[str, float] = {}
    for role, value in found.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value < 0:
            raise ValueError(f"'latency.milliseconds.{role}' must be a number of at least 0, not {value!r}")
        read[role] = float(value)
    return read


def _joined(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
