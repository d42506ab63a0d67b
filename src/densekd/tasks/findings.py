"""What a sample of a split says before a training: what cannot be learnt, and what is odd."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from densekd.data.facts import Facts

_LISTED = 8


class Finding(NamedTuple):
    """Something that people should know of a split before its first step.

    Args:
        level: ``nothing``: there is nothing to learn; ``odd``: deserves a look.
        what: what was found and how to mend it.
    """

    level: Literal["nothing", "odd"]
    what: str


@runtime_checkable
class FindsProblems(Protocol):
    """A task that judges a split by a sample of it; tasks of others need not."""

    def findings(self, files: Any, facts: Sequence[Facts]) -> list[Finding]:
        """Judge a split.

        Args:
            files: the whole split.
            facts: of an evenly chosen sample of its images.
        """
        ...


def seen_in(files: Any, facts: Sequence[Facts]) -> str:
    """Say how much of a split was looked at."""
    if len(facts) == len(files):
        return f"all {len(facts)} images"
    return f"a sample of {len(facts)} of {len(files)} images"


def absent_classes(names: Sequence[str], counts: Iterable[int], where: str) -> list[Finding]:
    """Remark on classes that never occur.

    Args:
        names: of the classes.
        counts: how often each occurs.
        where: in how much of the split.
    """
    absent = [name for name, count in zip(names, counts, strict=True) if count == 0]
    if not absent:
        return []
    listed = ", ".join(absent[:_LISTED])
    if len(absent) > _LISTED:
        listed += f" and {len(absent) - _LISTED} more"
    return [Finding("odd", f"in {where} {len(absent)} of {len(names)} classes never occur: {listed}.")]
