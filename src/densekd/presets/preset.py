"""One original experiment as a preset: a whole recipe, where it comes from, and what differs."""

from dataclasses import dataclass
from typing import Any

Section = dict[str, Any]
Term = dict[str, Any]

# The order in which a recipe is read.
_SECTIONS = ("data", "augment", "student", "teacher", "distill", "task", "evaluation", "optimizer", "training")


@dataclass(frozen=True)
class Preset:
    """An experiment of an original system.

    Args:
        name: what it is called on the command line.
        system: whose it is.
        student: the student, in a few words.
        teacher: the teacher, in a few words; empty where the student is trained alone.
        method: what is distilled, in the original's word; ``baseline`` for a student alone.
        data: the data set, in the word of ``DATASETS``.
        source: the original's script or configuration.
        recipe: content of the recipe, plain data; it is copied before anything changes it.
        published: score that the original publishes, with its metric; empty where there is none.
        differs: what differs from the original, a sentence each.
        file: path of the shipped recipe below ``recipes/``, without ending; empty where it has none.
    """

    name: str
    system: str
    student: str
    teacher: str
    method: str
    data: str
    source: str
    recipe: dict[str, Any]
    published: str = ""
    differs: tuple[str, ...] = ()
    file: str = ""


def make_recipe(name: str, sections: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a recipe: its name, then its sections in their order; empty ones are left out.

    Raises:
        ValueError: an unknown section.
    """
    unknown = set(sections) - set(_SECTIONS)
    if unknown:
        raise ValueError(f"no section of a recipe: {', '.join(sorted(unknown))}")
    content: dict[str, Any] = {"name": name}
    for section in _SECTIONS:
        if sections.get(section):
            content[section] = sections[section]
    return content
