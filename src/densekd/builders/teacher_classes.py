"""Classes of a teacher and of the data, compared by name: mapped, or refused where terms read them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from densekd.data.class_order import describe_difference, positions, shown
from densekd.data.classes import Classes
from densekd.distill.term_plan import TermPlan
from densekd.distill.terms import Term, paths
from densekd.errors import RecipeError
from densekd.models import contract
from densekd.models.classes import are_unnamed
from densekd.models.mapped import RemapClasses
from densekd.models.open import Opened

# What ``classes:`` of a model says where numbers count, whatever the names are.
BY_NUMBER = "by-number"
_REMEDY = (
    "Say under teacher.classes which of the teacher's classes each of the data's is, or 'by-number' where they are "
    "the same under other names."
)
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
