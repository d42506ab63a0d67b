"""Terms of a recipe: each entry of ``distill`` becomes a plan, and plans are wired between student and teacher."""

from typing import Any

import torch
from torch import nn

from densekd.builders.models import PROBE
from densekd.builders.teacher import precision_of
from densekd.data.contract import Files
from densekd.distill.terms import Context, TapPair, Term, WeightSchedule, paths
from densekd.distill.wiring import ProbeBatch, TermPlan, check_plan, wire_terms
from densekd.errors import RecipeError
from densekd.recipe import Recipe, TermSpec


def check_terms(recipe: Recipe) -> None:
    """Check names and options of all terms before any model is built.

    Raises:
        RecipeError: an unknown loss or adapter, a wrong option, or a term that needs a teacher where only its cached
            features are there.
    """
    for index, spec in enumerate(recipe.distill):
        if spec.through and recipe.teacher is not None and recipe.teacher.cache is not None:
            raise RecipeError(
                f"distill.{index}.through: runs the teacher's head at every step, and with teacher.cache there is no "
                "teacher to run; remove one of the two."
            )
        check_plan(_plan(spec, f"distill.{index}"))


def build_terms(
    recipe: Recipe,
    student: nn.Module,
    teacher: nn.Module,
    target: Any,
    files: Files,
) -> dict[str, Term | Context]:
    """Build the terms, and before them the contexts they share; shapes are probed with one forward of both models.

    Args:
        recipe: its terms.
        student, teacher: the models.
        target: of one image of the probe's size, see :meth:`densekd.tasks.protocol.Task.probe_target`.
        files: for the classes, and whether there are labels.

    Raises:
        RecipeError: an unknown tap or loss, or tensors that do not fit each other; the message says what would fix it.
    """
    size = recipe.augment.crop or PROBE
    classes = files.classes
    batch = ProbeBatch(
        images=torch.rand(1, 3, *size),
        target=target,
        facts={"num_classes": len(classes.names), "ignore_index": classes.ignore_index},
        sizes="many" if recipe.augment.crop is None else "one",
        labels=files.labels,
        teacher_precision=precision_of(recipe),
    )
    return wire_terms(plan_terms(recipe.distill), student, teacher, batch)


def plan_terms(specs: tuple[TermSpec, ...]) -> dict[str, TermPlan | Term]:
    """Name terms by their method, numbered where it occurs again, and fan braces out into one term each."""
    plans: dict[str, TermPlan | Term] = {}
    counts: dict[str, int] = {}
    for index, spec in enumerate(specs):
        # Modules are listed under names without dots.
        base = spec.method.rpartition(":")[2].replace(".", "-")
        counts[base] = counts.get(base, 0) + 1
        name = base if counts[base] == 1 else f"{base}~{counts[base]}"
        parts = spec.fan_out()
        for part_index, part in enumerate(parts):
            part_name = name if len(parts) == 1 else f"{name}-{part_index}"
            plans[part_name] = _plan(part, f"distill.{index}")
    return plans


def _plan(spec: TermSpec, where: str) -> TermPlan:
    return TermPlan(
        method=spec.method,
        weight=WeightSchedule(**spec.weight.model_dump()),
        where=where,
        options=spec.options,
        taps=TapPair(spec.student, spec.teacher),
        adapter=spec.adapter.name,
        adapter_options=spec.adapter.options,
        through=() if spec.through is None else paths(spec.through),
        resize=spec.resize_to,
    )
