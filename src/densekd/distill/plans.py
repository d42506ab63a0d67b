"""Plans of terms from a mapping of Python: the ``losses`` of ``densekd.distill``."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from densekd.braces import expand_list, fan_out
from densekd.distill.term_plan import TermPlan
from densekd.distill.terms import Tap, TapPair, Term, WeightSchedule, paths
from densekd.errors import UserError, suggest

_KEYS = ("adapter", "method", "options", "resize_to", "student", "teacher", "through", "weight")


def plan_losses(losses: Mapping[str, Any]) -> dict[str, TermPlan | Term]:
    """Return a plan for each loss, one for each choice of braces; terms that are built already stay as they are.

    Args:
        losses: name -> weight, a :class:`Term`, or a mapping with ``weight`` and what a recipe's
            term may have.

    Raises:
        UserError: another value, an unknown key, or braces of different numbers of choices.
    """
    if not isinstance(losses, Mapping):
        raise UserError(f'losses: a mapping such as {{"cwd": 3.0}}, not {losses!r}.')
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
    weight = _schedule(value["weight"], where)
    adapter = value.get("adapter", "none")
    if isinstance(adapter, str):
        adapter = {"name": adapter}
    through = value.get("through")
    return TermPlan(
        method=value.get("method", key),
        weight=weight,
        where=where,
        options=value.get("options", {}),
        taps=TapPair(_tap(value.get("student", "logits")), _tap(value.get("teacher", "logits"))),
        adapter=adapter["name"],
        adapter_options=adapter.get("options", {}),
        through=() if through is None else paths(_tap(through)),
        resize=value.get("resize_to", "none"),
    )


def _schedule(weight: Any, where: str) -> WeightSchedule:
    """Return a weight as a schedule.

    Raises:
        UserError: anything but a schedule or a number of at least 0.
    """
    if isinstance(weight, WeightSchedule):
        return weight
    if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise UserError(f"{where}: a weight is a number of at least 0 or a WeightSchedule, not {weight!r}.")
    return WeightSchedule(float(weight))


def _tap(value: Any) -> Tap:
    """Return a path as it is, and a list of paths as a tuple, its braces expanded."""
    return value if isinstance(value, str) else expand_list(value)


def _fan_out(name: str, plan: TermPlan) -> list[tuple[str, TermPlan]]:
    """Return one plan for each choice of braces, paired over student and teacher."""
    # A single module may have braces, as a tap may; several are a list, which is one way through
    # the head.
    through = plan.through[0] if len(plan.through) == 1 else plan.through
    try:
        choices = fan_out(*plan.taps, through)
    except ValueError as error:
        raise UserError(f"{plan.where}: {error}") from error
    plans = []
    for index, (student, teacher, head) in enumerate(choices):
        chosen = replace(plan, taps=TapPair(student, teacher), through=paths(head))
        plans.append((name if len(choices) == 1 else f"{name}-{index}", chosen))
    return plans
