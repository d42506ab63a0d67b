"""Brace expansion, as in a shell: one path with choices becomes one path for each."""

import itertools
import re
from collections.abc import Sequence

Paths = str | tuple[str, ...]


def expand_braces(path: str) -> list[str]:
    """Expand ``a.{0,1}.b`` to ``[a.0.b, a.1.b]``; several braces give their product."""
    choices = []
    for index, part in enumerate(re.split(r"\{([^{}]*)\}", path)):
        # Every second part was inside braces.
        choices.append(part.split(",") if index % 2 else [part])
    return ["".join(combination) for combination in itertools.product(*choices)]


def expand_list(paths: Sequence[str]) -> tuple[str, ...]:
    """Expand the braces of each path in place: a list stays one list, and becomes longer."""
    expanded: list[str] = []
    for path in paths:
        expanded += expand_braces(path)
    return tuple(expanded)


def fan_out(
    student: Paths,
    teacher: Paths,
    through: Paths = (),
) -> list[tuple[Paths, Paths, Paths]]:
    """Make one term of each choice of braces, paired over the three; lists stay whole.

    Raises:
        ValueError: braces of different numbers of choices.
    """
    students, teachers, heads = (_choices(paths) for paths in (student, teacher, through))
    both_fan_out = isinstance(student, str) and isinstance(teacher, str)
    if both_fan_out and len(students) != len(teachers):
        raise ValueError(
            f"'{student}' names {len(students)} taps, '{teacher}' {len(teachers)}; they are paired one to one."
        )
    count = max(len(students), len(teachers))
    # One head serves all terms.
    if len(heads) not in (1, count):
        raise ValueError(f"through '{through}' names {len(heads)} modules for {count} terms.")
    terms = []
    for index in range(count):
        chosen = tuple(paths[index % len(paths)] for paths in (students, teachers, heads))
        terms.append((chosen[0], chosen[1], chosen[2]))
    return terms


def _choices(paths: Paths) -> list[Paths]:
    if isinstance(paths, str):
        return [*expand_braces(paths)]
    return [paths]
