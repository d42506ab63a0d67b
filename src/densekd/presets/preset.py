"""Preset: the recipe of one published experiment, with its source and what its authors report."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Recipe of an experiment of a reference system.

    Args:
        name: what ``densekd train NAME`` takes; also the recipe's name.
        system: the project: ``cirkd``, ``hwd``, ...
        student: short name of the student, as in ``name``.
        teacher: what teaches it; empty for a student alone.
        method: short name of what is compared; ``baseline`` for a student alone.
        data: the project's name of its data set.
        source: command or configuration of the project.
        published: score that its authors report; empty where they report none.
        differs: what the recipe does otherwise, or what the original has to be known for.
        content: the recipe as plain data.
    """

    name: str
    system: str
    student: str
    teacher: str
    method: str
    data: str
    source: str
    published: str
    differs: str
    content: dict[str, Any]

    @property
    def file(self) -> str:
        """Place of its file below ``recipes/``, for those that are shipped as files."""
        return f"{self.content['data']['dataset']}/{self.name}.yaml"
