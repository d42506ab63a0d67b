"""Budgets in seconds: a warm-up measures steps, and the numbers of steps are decided once."""

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from densekd.errors import RecipeError, UserError
from densekd.recipe import Recipe, load_recipe
from densekd.run.automatic import decided
from densekd.run.baseline import student_alone
from densekd.run.folder import Existing, RunFolder, begun, is_first_process
from densekd.run.launch import Launch
from densekd.seal import read_document

# Until a step is measured the schedule is that of a long training: its warm-up and milestones fit.
PROVISIONAL = 1_000_000
# What a recipe may ask for at most.
_MOST_STEPS = 2**31 - 1


@dataclass(frozen=True)
class Alone:
    """Length of the student alone that takes as long as the distillation.

    Args:
        seconds_per_step: of the student alone, measured.
        ratio: a step of the distillation over a step of the student alone, at least 1.
        steps: those of the distillation times the ratio.
        spread: the lower and the upper quartile of the ratio over the rounds, by which its noise is seen.
    """

    seconds_per_step: float
    ratio: float
    steps: int
    spread: tuple[float, float]


@dataclass(frozen=True)
class Budget:
    """What was measured, and decided by it.

    Args:
        seconds_per_step: of the recipe, measured.
        steps: of the recipe, or what fits into its seconds.
        seconds: those of the recipe, for the training steps alone; None where it has steps.
        alone: of the student alone, where it gets the time of the distillation.
    """

    seconds_per_step: float
    steps: int
    seconds: float | None = None
    alone: Alone | None = None

    def __str__(self) -> str:
        found = []
        if self.seconds is not None:
            found.append(
                f"training.seconds {self.seconds:g}: {self.seconds_per_step:.4g} s a step in a timed warm-up here, "
                f"so {self.steps} steps; validation is not counted"
            )
        if self.alone is not None:
            found.append(self._say_alone(self.alone))
        return "\n".join(found)

    def _say_alone(self, alone: Alone) -> str:
        low, high = alone.spread
        return (
            f"baseline in equal seconds: a step takes {self.seconds_per_step:.4g} s, of the student alone "
            f"{alone.seconds_per_step:.4g} s, in turns here: {alone.ratio:.3f} times, half of the rounds between "
            f"{low:.3f} and {high:.3f}; so {alone.steps} steps alone take as long as {self.steps} of the distillation"
        )

    def facts(self) -> dict[str, Any]:
        """Return what the environment of the run records."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def with_length(recipe: Recipe, steps: int, alone: int | None = None) -> Recipe:
    """Return the recipe with a number of steps in place of seconds, and that of the student alone if given."""
    training = recipe.training.model_copy(update={"steps": steps, "seconds": None})
    changed: dict[str, Any] = {"training": training}
    if alone is not None:
        changed["baseline_steps"] = alone
    return recipe.model_copy(update=changed)


def steps_in(seconds: float, seconds_per_step: float) -> int:
    """Return how many steps take so many seconds, at least 1."""
    return min(max(1, round(seconds / seconds_per_step)), _MOST_STEPS)


def steps_alone(steps: int, rounds: Sequence[Sequence[float]]) -> Alone:
    """Decide how many steps of the student alone take as long as the distillation.

    Args:
        steps: of the distillation.
        rounds: of each round the seconds of a step of the distillation and of the student alone.
    """
    # Both of a round were measured under the same load; an odd round does not move the median.
    ratios = np.array([whole / alone for whole, alone in rounds])
    low, middle, high = (float(value) for value in np.quantile(ratios, (0.25, 0.5, 0.75)))
    # The student alone is a part of the distillation: it is faster by noise at most where it seems slower.
    ratio = max(1.0, middle)
    seconds = statistics.median(alone for _, alone in rounds)
    return Alone(seconds, ratio, min(round(steps * ratio), _MOST_STEPS), (low, high))


def require_measurable(recipe: Recipe) -> None:
    """Check that a few steps now cost what the steps of the training will.

    Raises:
        RecipeError: the teacher's features are cached first, which a warm-up before that cannot know.
    """
    if recipe.teacher is None or recipe.teacher.cache is None:
        return
    way_out = "write training.steps" if recipe.training.seconds is not None else "write baseline_steps by hand"
    raise RecipeError(
        f"{_asked(recipe)}: steps that read teacher.cache are faster than those before it is filled, so they "
        f"cannot be measured at the start; {way_out}, or remove teacher.cache."
    )


def measured(recipe: Recipe, launch: Launch) -> Budget:
    """Measure a step of a recipe, and decide the numbers of steps that it leaves open.

    Raises:
        UserError: other processes were started from outside, and would not know what this one measures.
    """
    from densekd.run import warmup

    require_measurable(recipe)
    _require_own_processes(recipe)
    long = decided(with_length(recipe, PROVISIONAL), launch)
    if not recipe.lacks_baseline_steps:
        seconds = recipe.training.seconds
        assert seconds is not None
        per_step = warmup.seconds_per_step(long, launch)
        return Budget(per_step, steps_in(seconds, per_step), seconds)
    rounds = warmup.seconds_in_turns((long, student_alone(long)), launch)
    return budget_of(recipe, rounds)


def budget_of(recipe: Recipe, rounds: Sequence[Sequence[float]]) -> Budget:
    """Decide the steps of a recipe and of its student alone.

    Args:
        recipe: with steps or seconds.
        rounds: see :func:`steps_alone`.
    """
    per_step = statistics.median(whole for whole, _ in rounds)
    seconds = recipe.training.seconds
    steps = recipe.training.length if seconds is None else steps_in(seconds, per_step)
    return Budget(per_step, steps, seconds, steps_alone(steps, rounds))


def known_length(recipe: Recipe, run: RunFolder, existing: Existing) -> Recipe:
    """Return the recipe with the steps that were decided when its run began, where that is known.

    Args:
        recipe: of a training, maybe with seconds.
        run: its folder.
        existing: only a resumed training, or another process than the first, goes on with what is there.

    Raises:
        RecipeError: the run was started with other seconds, or with steps.
    """
    if not recipe.lacks_length or (existing != "resume" and is_first_process()):
        return recipe
    place = begun(run)
    return recipe if place is None else _as_begun(recipe, place)


def _as_begun(recipe: Recipe, run: RunFolder) -> Recipe:
    """Return the recipe with what the recipe of its run says in place of what is open."""
    first = load_recipe(run.recipe)
    alone = first.baseline_steps if recipe.lacks_baseline_steps else None
    if recipe.training.seconds is None:
        return with_length(recipe, recipe.training.length, alone)
    _require_same_seconds(recipe.training.seconds, run)
    return with_length(recipe, first.training.length, alone)


def _asked(recipe: Recipe) -> str:
    """Return what a recipe says that has to be measured."""
    return f"baseline: {recipe.baseline}" if recipe.training.seconds is None else "training.seconds"


def _require_own_processes(recipe: Recipe) -> None:
    """Check that nobody else starts processes, which could not learn what this one measures.

    Raises:
        UserError: torchrun or srun does.
    """
    others = max(_number("WORLD_SIZE"), _number("SLURM_NTASKS") if "SLURM_PROCID" in os.environ else 1)
    if others == 1:
        return
    key = "baseline_steps" if recipe.training.seconds is None else "training.steps"
    raise UserError(
        f"{_asked(recipe)}: torchrun and srun start every process at once, before the steps are measured. Write "
        f"{key} (densekd check says how many), or let densekd start the processes by --devices."
    )


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
