"""Layouts of published files: rules from a project's keys to ours, and what was recognized."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Rules = tuple[tuple[str, str | None], ...]
"""(pattern of a whole published key, our key); None for an entry that inference does not use."""


@dataclass(frozen=True)
class Recognized:
    """Architecture and weights of a file, recognized from keys and shapes alone.

    Args:
        format: name of ``FORMATS``, the project whose layout it is.
        model: name of ``MODELS``.
        options: the builder's arguments, ``num_classes`` among them.
        state: the weights under our names.
        unused: entries of the file that inference does not need (SegFormer's
            ``decode_head.conv_seg``).
    """

    format: str
    model: str
    options: dict[str, Any]
    state: dict[str, Tensor]
    unused: tuple[str, ...] = ()


def rename(state: Mapping[str, Tensor], rules: Rules) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Rename every entry by the first rule that matches its key in full.

    Returns:
        the renamed entries, and the keys whose rule says None. A key without a rule keeps its name,
        so that the comparison with the model lists it as unexpected.
    """
    compiled = [(re.compile(pattern), ours) for pattern, ours in rules]
    renamed: dict[str, Tensor] = {}
    unused: list[str] = []
    for key, value in state.items():
        for pattern, ours in compiled:
            found = pattern.fullmatch(key)
            if found is None:
                continue
            # The first rule that matches decides.
            if ours is None:
                unused.append(key)
            else:
                renamed[found.expand(ours)] = value
            break
        else:
            renamed[key] = value
    return renamed, tuple(unused)


def count(keys: Iterable[str], pattern: str) -> int:
    """Count the distinct first groups of a pattern: ``layer3\\.(\\d+)\\..*`` counts blocks."""
    found = set()
    for key in keys:
        matched = re.fullmatch(pattern, key)
        if matched:
            found.add(matched[1])
    return len(found)
