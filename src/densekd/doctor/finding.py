"""Finding of an examination: what is wrong, the numbers that show it, what to change."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What an examination found.

    Args:
        name: of the finding, for scripts.
        severity: ``error``: the training cannot be what was meant; ``warning``: deserves a look.
        evidence: one sentence with numbers.
        fix: what to change, with the recipe's key where there is one.
        numbers: those of the evidence.
    """

    name: str
    severity: Severity
    evidence: str
    fix: str
    numbers: dict[str, float] = field(default_factory=dict)

    def as_row(self) -> dict[str, Any]:
        """Return the finding as JSON takes it."""
        return asdict(self)
