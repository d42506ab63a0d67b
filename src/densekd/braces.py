"""Brace expansion, as in a shell: one path with choices becomes one path for each."""

import itertools
import re


def expand_braces(path: str) -> list[str]:
    """Expand ``a.{0,1}.b`` to ``[a.0.b, a.1.b]``; several braces give their product, left to right."""
    choices = []
    for index, part in enumerate(re.split(r"\{([^{}]*)\}", path)):
        # Every second part was inside braces.
        choices.append(part.split(",") if index % 2 else [part])
    return ["".join(combination) for combination in itertools.product(*choices)]
