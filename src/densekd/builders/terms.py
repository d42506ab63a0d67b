"""Terms of a recipe: entries of ``distill`` become plans, checked before models are built."""

from densekd.distill.term_plan import TermPlan, check_plan
from densekd.distill.terms import TapPair, Term, WeightSchedule, paths
from densekd.errors import RecipeError
from densekd.recipe import Recipe, TermSpec


def plan_terms(recipe: Recipe) -> dict[str, TermPlan | Term]:
    """Plan the terms of a recipe, and check their names and options.

    Terms are named by their method, numbered where it occurs again; braces fan out into one term
    each.

    Raises:
        RecipeError: an unknown loss or adapter, a wrong option, or a term that needs a teacher
            where only its cached features are there.
    """
    plans: dict[str, TermPlan | Term] = {}
    counts: dict[str, int] = {}
    for index, spec in enumerate(recipe.distill):
        where = f"distill.{index}"
        if spec.through and recipe.teacher is not None and recipe.teacher.cache is not None:
            raise RecipeError(
                f"{where}.through: runs the teacher's head at every step, and with teacher.cache "
                "there is no teacher to run; remove one of the two."
            )
        check_plan(_plan(spec, where))
        # Modules are listed under names without dots.
        base = spec.method.rpartition(":")[2].replace(".", "-")
        counts[base] = counts.get(base, 0) + 1
        name = base if counts[base] == 1 else f"{base}~{counts[base]}"
        parts = spec.fan_out()
        for part_index, part in enumerate(parts):
            part_name = name if len(parts) == 1 else f"{name}-{part_index}"
            plans[part_name] = _plan(part, where)
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
