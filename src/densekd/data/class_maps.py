"""Class maps: models of benchmarks that count more classes than the benchmark scores, by name.

``teacher.classes: cocostuff-182`` lets such a model teach the benchmark's own classes: of its
logits those that belong to a class are taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from densekd.data.classes import published_classes
from densekd.data.cocostuff import UNUSED
from densekd.errors import RecipeError, suggest


@dataclass(frozen=True)
class ClassMap:
    """Selection of a benchmark's classes among those of a longer list.

    Args:
        dataset: name of the benchmark in ``DATASETS``.
        count: length of the longer list: the logits of a model that it is for.
        members: for each class of the benchmark its number in the longer list.
        description: who counts so.
    """

    dataset: str
    count: int
    members: tuple[int, ...]
    description: str

    @property
    def classes(self) -> int:
        """Number of the benchmark's classes."""
        return len(self.members)


CLASS_MAPS = {
    "cocostuff-182": ClassMap(
        dataset="cocostuff",
        count=182,
        members=tuple(number for number in range(182) if number not in UNUSED),
        description="COCO-Stuff by its ids from 0, 11 of which no pixel has (CIRKD, HWD)",
    ),
    "cityscapes-34": ClassMap(
        dataset="cityscapes",
        count=34,
        members=(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
        description="Cityscapes by its label ids, 15 of which are not scored",
    ),
    "ade20k-151": ClassMap(
        dataset="ade20k",
        count=151,
        members=tuple(range(1, 151)),
        description="ADE20K with class 0 for everything else",
    ),
}


def find_class_map(name: str) -> ClassMap:
    """Return a class map by name.

    Raises:
        RecipeError: an unknown name.
    """
    if name not in CLASS_MAPS:
        raise RecipeError(f"teacher.classes: no class map is called '{name}'. {suggest(name, CLASS_MAPS)}")
    return CLASS_MAPS[name]


def class_map_between(count: int, classes: int) -> str | None:
    """Name the class map of models with ``count`` logits for data of ``classes`` classes, if there is one."""
    for name, entry in CLASS_MAPS.items():
        if (entry.count, entry.classes) == (count, classes):
            return name
    return None


def class_map_for(count: int, names: Sequence[str]) -> str | None:
    """Name the class map of models with ``count`` logits for a benchmark's classes, by their names."""
    name = class_map_between(count, len(names))
    if name is None or published_classes(CLASS_MAPS[name].dataset).names != tuple(names):
        return None
    return name
