"""Outcome of one trial, and the counts of an area."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# What nobody should ever read.
RAW = ("Traceback", "should not happen", "weights_only=False", "Aborted!")


@dataclass(frozen=True)
class Outcome:
    """What became of one trial.

    Args:
        trial: what was done, in words.
        verdict: ``exact``, ``message``, ``said`` (it went on without what a line names); or a failure: ``hang``,
            ``raw``, ``crash``, ``silent``, ``nameless``, ``wrong status``, ``lost``, ``code ran``.
        detail: last lines of what was printed, for a failure.
    """

    trial: str
    verdict: str
    detail: str = ""

    @property
    def survived(self) -> bool:
        """Whether a person lost nothing and was told what happened."""
        return self.verdict in ("exact", "message", "said")


def raw_text(text: str) -> str | None:
    """Return the words of a raw error that a text holds; None where it has none."""
    for words in RAW:
        if words in text:
            return words
    return None


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count trials by verdict; ``tried`` and ``survived`` are sums."""
    outcomes = list(outcomes)
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    survived = sum(outcome.survived for outcome in outcomes)
    return {"tried": len(outcomes), "survived": survived, **verdicts}
