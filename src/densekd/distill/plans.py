"""Plans of terms from a mapping of Python: the ``losses`` of ``densekd.distill``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from densekd.braces import expand_braces
from densekd.distill.terms import Tap, TapPair, Term, WeightSchedule
from densekd.distill.wiring import TermPlan
from densekd.errors import UserError, suggest

_KEYS = ("adapter", "method", "options", "resize_to", "student", "teacher", "weight")


def plan_losses(losses: Mapping[str, Any]) -> dict[str, TermPlan | Term]:
    """Return a plan for each loss, one for each choice of braces; terms that are built already stay as they are.

    Args:
        losses: name -> weight, a :class:`Term`, or a mapping with ``weight`` and what a recipe's term may have.

    Raises:
        UserError: another value, an unknown key, or braces of different numbers of choices.
    """
    plans: dict[str, TermPlan | Term] = {}
    for key, value in losses.items():
        # Modules are listed under names without dots.
        name = key.rpartition(":")[2].replace(".", "-")
        if isinstance(value, Term):
            plans[name] = value
            continue
        for part_name, plan in _fan_out(name, _plan(key, value)):
            plans[part_name] = plan
    return plans


def _plan(key: str, value: Any) -> TermPlan:
    where = f"losses[{key!r}]"
    if isinstance(value, int | float | WeightSchedule):
        value = {"weight": value}
    if not isinstance(value, Mapping) or "weight" not in value:
        raise UserError(f"{where}: a weight, a Term, or a mapping with 'weight', not {value!r}.")
    for name in value:
        if name not in _KEYS:
            raise UserError(f"{where}: unknown key '{name}'. {suggest(name, _KEYS)}")
    weight = value["weight"]
    return TermPlan(
        method=value.get("method", key),
        weight=weight if isinstance(weight, WeightSchedule) else WeightSchedule(float(weight)),
        where=where,
        options=value.get("options", {}),
        taps=TapPair(_tap(value.get("student", "logits")), _tap(value.get("teacher", "logits"))),
        adapter=value.get("adapter", "none"),
        resize=value.get("resize_to", "none"),
    )


def _tap(value: Any) -> Tap:
    """Return a path as it is, and a list of paths as a tuple."""
    return value if isinstance(value, str) else tuple(value)


def _fan_out(name: str, plan: TermPlan) -> list[tuple[str, TermPlan]]:
    """Return one plan for each choice of braces, paired over student and teacher."""
    student, teacher = plan.taps
    if not (isinstance(student, str) and isinstance(teacher, str)):
        return [(name, plan)]
    students, teachers = expand_braces(student), expand_braces(teacher)
    if len(students) != len(teachers):
        raise UserError(
            f"{plan.where}: '{student}' names {len(students)} taps, '{teacher}' {len(teachers)}; they are paired one "
            "to one."
        )
    if len(students) == 1:
        return [(name, plan)]
    pairs = enumerate(zip(students, teachers, strict=True))
    return [(f"{name}-{index}", replace(plan, taps=TapPair(*pair))) for index, pair in pairs]
