"""Classes of a teacher and of the data, compared by name: mapped, or refused where terms read them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from densekd.data.class_maps import CLASS_MAPS, class_map_for, find_class_map
from densekd.data.class_order import describe_difference, positions, shown
from densekd.data.classes import Classes
from densekd.distill.probe import at_rest
from densekd.distill.term_plan import TermPlan
from densekd.distill.terms import Term, paths
from densekd.errors import RecipeError
from densekd.models import contract
from densekd.models.classes import are_unnamed
from densekd.models.mapped import RemapClasses
from densekd.models.open import Opened

# What ``classes:`` of a model says where numbers count, whatever the names are.
BY_NUMBER = "by-number"
_DETECTOR = (
    "teacher.classes: a detector's classes are not mapped. One of other classes teaches features: leave the key out "
    "and tap neck.* (pkd, fgd, mgd); or fine-tune it for the data's classes first: student.checkpoint."
)
_REMEDY = (
    "Say under teacher.classes which of the teacher's classes each of the data's is, or 'by-number' where they are "
    "the same under other names."
)
# ``teacher.classes``: for each class the teacher's, the name of a class map, by-number, or nothing.
Said = Mapping[str, int | str | tuple[int | str, ...]] | str | None
# Short taps, or their beginnings, whose channels are classes.
_CLASS_TAPS = ("logits", "aux", "cls")


@dataclass(frozen=True)
class TeacherUse:
    """What a recipe reads of its teacher.

    Args:
        taps: the teacher's taps of all terms.
        classes: whether any of it depends on the order of the teacher's classes.
    """

    taps: tuple[str, ...] = ()
    classes: bool = False


def use_of_teacher(plans: Iterable[TermPlan | Term], inherited: Iterable[str]) -> TeacherUse:
    """List what a recipe's terms read of the teacher, before either model is built.

    Args:
        plans: of the terms.
        inherited: parts of the teacher that the student begins with.
    """
    taps: list[str] = []
    # A head that is inherited or gone through ends in the teacher's classes.
    whole = any(path.split(".")[0] == "head" for path in inherited)
    for plan in plans:
        taps += paths(plan.taps.teacher)
        whole = whole or bool(plan.through)
    read = any(tap.split(".")[0] in _CLASS_TAPS for tap in taps)
    return TeacherUse(tuple(dict.fromkeys(taps)), whole or read)


def match_names(teacher: Opened, classes: Classes, use: TeacherUse) -> tuple[nn.Module, tuple[str, ...]]:
    """Bring a teacher's logits to the order of the data's classes, compared by name.

    Args:
        teacher: as it was opened.
        classes: of the data.
        use: what is read of the teacher.

    Returns:
        the teacher as it teaches, and what people should know.

    Raises:
        RecipeError: as many classes, but others, or in an order that cannot be changed, where terms
            read them; both lists are shown.
    """
    names = teacher.classes.names
    if are_unnamed(teacher.classes) or names == classes.names:
        return teacher.model, ()
    order = positions(classes.names, names)
    if order == tuple(range(len(names))):
        return teacher.model, ()
    if order is not None and len(order) == len(names) and _can_be_mapped(teacher.model, use.taps):
        note = (
            f"classes: the teacher counts them in another order ({shown(names)}) than the data "
            f"({shown(classes.names)}); its logits were matched by name."
        )
        return RemapClasses(teacher.model, [[number] for number in order]), (note,)
    # Of another number of classes, shapes say what can be compared.
    if use.classes and len(names) == len(classes.names):
        who, whom = "the teacher", "the data"
        raise RecipeError(f"teacher: {describe_difference(names, classes.names, who, whom)} {_REMEDY}")
    note = f"classes: the teacher's ({shown(names)}) are not the data's; it teaches features and is not scored."
    return teacher.model, (note,)


def speaks_of(teacher: Opened, classes: Classes) -> bool:
    """Return True where a teacher's outputs may be scored as the data's classes, as far as names tell."""
    names = teacher.classes.names
    if are_unnamed(teacher.classes):
        return True
    order = positions(classes.names, names)
    return order is not None and len(order) == len(names)


def _can_be_mapped(model: nn.Module, taps: Sequence[str]) -> bool:
    """Return True for a model with logits ``[B, C, H, W]`` of which only short taps are read."""
    if contract.is_detector(model):
        return False
    # Of the taps whose channels are classes, the logits alone are mapped.
    known = contract.taps(model)
    return all(tap in known and tap != "aux" for tap in taps)


_NOTHING = TeacherUse()


def map_classes(
    said: Said, teacher: Opened, classes: Classes, use: TeacherUse = _NOTHING
) -> tuple[nn.Module, tuple[str, ...]]:
    """Bring a teacher's logits to the data's classes: as ``teacher.classes`` says, or by their names.

    Args:
        said: the recipe's ``teacher.classes``.
        teacher: as it was opened.
        classes: of the data.
        use: what the recipe reads of the teacher.

    Returns:
        The teacher as it teaches, and a note where a class map or an order was found without being named.

    Raises:
        RecipeError: a class of the data that is not mapped or unknown, one that the teacher does
            not have, a class map for other models or data, or any map of a detector.
    """
    if said is None:
        return _map_known_classes(teacher, classes, use)
    if said == BY_NUMBER:
        return teacher.model, ()
    if contract.is_detector(teacher.model):
        raise RecipeError(_DETECTOR)
    if isinstance(said, str):
        return RemapClasses(teacher.model, _groups_of_map(said, teacher, classes)), ()
    if set(said) != set(classes.names):
        wrong = sorted(set(said) ^ set(classes.names))
        raise RecipeError(
            "teacher.classes must map every class of the data and no other: "
            f"{', '.join(classes.names)}. Missing or unknown: {', '.join(wrong)}."
        )
    count = _count_logits(teacher.model)
    names = () if are_unnamed(teacher.classes) else teacher.classes.names
    # For each class of the data the numbers of the teacher's.
    groups = []
    for name in classes.names:
        members = said[name]
        if not isinstance(members, tuple):
            members = (members,)
        groups.append([_class_number(name, member, names, count) for member in members])
    return RemapClasses(teacher.model, groups), ()


def _map_known_classes(teacher: Opened, classes: Classes, use: TeacherUse) -> tuple[nn.Module, tuple[str, ...]]:
    """Find the class map of a teacher that counts more classes than a benchmark scores."""
    count = len(teacher.classes.names)
    found = class_map_for(count, classes.names)
    if found is None:
        return match_names(teacher, classes, use)
    entry = CLASS_MAPS[found]
    note = (
        f"teacher.classes: {found} was chosen, since the teacher has {count} logits: of these the {entry.classes} "
        f"classes of {entry.dataset} are taken."
    )
    return RemapClasses(teacher.model, [[member] for member in entry.members]), (note,)


def _groups_of_map(name: str, teacher: Opened, classes: Classes) -> list[list[int]]:
    """Return the teacher's numbers of the data's classes by a class map that the recipe names."""
    entry = find_class_map(name)
    count = _count_logits(teacher.model)
    if (entry.count, entry.classes) != (count, len(classes.names)):
        raise RecipeError(
            f"teacher.classes: {name} takes {entry.classes} classes ({entry.dataset}) out of {entry.count}; the data "
            f"has {len(classes.names)} classes and the teacher {count}."
        )
    return [[member] for member in entry.members]


def _count_logits(model: nn.Module) -> int:
    """Ask the model itself, since it may have more classes than are named."""
    with at_rest(model):
        count: int = model(torch.rand(1, contract.bands(model), 64, 64)).shape[1]
    return count


def _class_number(name: str, member: int | str, names: Sequence[str], count: int) -> int:
    """Return the teacher's number of a class that ``teacher.classes`` gives by number or name."""
    index = names.index(member) if member in names else member
    if isinstance(index, int) and 0 <= index < count:
        return index
    known = f"; it knows {', '.join(names)}" if names else ""
    raise RecipeError(f"teacher.classes.{name}: the teacher has {count} classes, and {member!r} is none{known}.")
