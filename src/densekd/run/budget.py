"""Budget of a training in seconds: a warm-up measures a step, and the number of steps is decided once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from densekd.errors import RecipeError, UserError
from densekd.recipe import Recipe, load_recipe
from densekd.run import replace as replacing
from densekd.run.folder import Existing, RunFolder, is_first_process
from densekd.run.launch import Launch
from densekd.seal import read_document

# Until a step is measured the schedule is that of a long training: its warm-up and milestones fit.
PROVISIONAL = 1_000_000
# What a recipe may ask for at most.
_MOST_STEPS = 2**31 - 1


@dataclass(frozen=True)
class Budget:
    """What was measured, and decided by it.

    Args:
        seconds: those of the recipe, for the training steps alone.
        seconds_per_step: measured.
        steps: what fits into them, at least 1.
    """

    seconds: float
    seconds_per_step: float
    steps: int

    def __str__(self) -> str:
        return (
            f"training.seconds {self.seconds:g}: {self.seconds_per_step:.4g} s a step in a timed warm-up here, "
            f"so {self.steps} steps; validation is not counted"
        )


def with_length(recipe: Recipe, steps: int) -> Recipe:
    """Return the recipe with a number of steps in place of seconds."""
    training = recipe.training.model_copy(update={"steps": steps, "seconds": None})
    return recipe.model_copy(update={"training": training})


def steps_in(seconds: float, seconds_per_step: float) -> int:
    """Return how many steps take so many seconds, at least 1."""
    return min(max(1, round(seconds / seconds_per_step)), _MOST_STEPS)


def require_measurable(recipe: Recipe) -> None:
    """Check that a few steps now cost what the steps of the training will.

    Raises:
        RecipeError: the teacher's features are cached first, which a warm-up before that cannot know.
    """
    if recipe.teacher is not None and recipe.teacher.cache is not None:
        raise RecipeError(
            "training.seconds: steps that read teacher.cache are faster than those before it is filled, so they "
            "cannot be measured at the start; write training.steps, or remove teacher.cache."
        )


def measured(recipe: Recipe, launch: Launch) -> Budget:
    """Measure a step of a recipe with ``training.seconds``, and decide the number of steps.

    Raises:
        UserError: other processes were started from outside, and would not know what this one measures.
    """
    from densekd.run import warmup

    require_measurable(recipe)
    others = max(_number("WORLD_SIZE"), _number("SLURM_NTASKS") if "SLURM_PROCID" in os.environ else 1)
    if others > 1:
        raise UserError(
            "training.seconds: torchrun and srun start every process at once, before the steps are measured. Write "
            "training.steps (densekd check says how many), or let densekd start the processes by --devices."
        )
    seconds = recipe.training.seconds
    assert seconds is not None
    per_step = warmup.seconds_per_step(with_length(recipe, PROVISIONAL), launch)
    return Budget(seconds, per_step, steps_in(seconds, per_step))


def known_length(recipe: Recipe, run: RunFolder, existing: Existing) -> Recipe:
    """Return the recipe with the steps that were decided when its run began, where that is known.

    Args:
        recipe: of a training, maybe with seconds.
        run: its folder.
        existing: only a resumed training, or another process than the first, goes on with what is there.

    Raises:
        RecipeError: the run was started with other seconds, or with steps.
    """
    if recipe.training.seconds is None or (existing != "resume" and is_first_process()):
        return recipe
    # A run that waits to replace another one is what is gone on with.
    for place in (RunFolder(replacing.new_of(run.path)), run):
        if not place.recipe.is_file():
            continue
        steps = load_recipe(place.recipe).training.steps
        assert steps is not None
        _require_same_seconds(recipe.training.seconds, place)
        return with_length(recipe, steps)
    return recipe


def _require_same_seconds(seconds: float, run: RunFolder) -> None:
    """Check that a run was started with these seconds, as far as its record can be read."""
    try:
        known: Mapping[str, Any] = read_document(run.environment)
    except (UserError, OSError):
        return
    budget = known.get("budget")
    before = budget.get("seconds") if isinstance(budget, dict) else None
    if before != seconds:
        began = "training.steps" if before is None else f"training.seconds {before:g}"
        raise RecipeError(
            f"{run.path} was started with {began}, not with training.seconds {seconds:g}. Go on with what it began "
            f"with: densekd train {run.path} --resume."
        )


def _number(name: str) -> int:
    """Return a number of processes that the environment tells."""
    text = os.environ.get(name, "1")
    return int(text) if text.isdecimal() else 1
