"""The baseline of a distillation: the same student trained alone, for as many steps or as long."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.errors import RecipeError, UserError
from densekd.models.open import open_model
from densekd.recipe import BOTH, EQUAL_SECONDS, Recipe, load_recipe
from densekd.run.folder import RunFolder


@dataclass(frozen=True)
class Baseline:
    """The student trained alone.

    Args:
        package: the folder of the trained student.
        recipe: what it is still to be trained by; None where it is there.
    """

    package: Path
    recipe: Recipe | None = None


def find_baselines(recipe: Recipe, run: RunFolder, anew: bool = False) -> dict[str, Baseline]:
    """Find the baselines that a recipe asks for, or the recipes that train them into folders of the run.

    Args:
        recipe: the whole training's.
        run: its folder.
        anew: what is in the folder will be overwritten, a baseline too.

    Returns:
        By their keys in ``results.json``: none, one, or one of as many steps and one of as many seconds.

    Raises:
        UserError: the folder that ``baseline:`` names holds no student.
        RecipeError: a trained one had another number of steps.
    """
    if recipe.baseline is None:
        return {}
    if not recipe.trains_baseline:
        package = Path(recipe.baseline).expanduser()
        # Read now, so that a missing or damaged one stops the training before it begins.
        open_model(package)
        return {"baseline": Baseline(package)}
    if recipe.baseline != BOTH:
        return {"baseline": _trained(recipe, run.baseline, anew)}
    as_many = recipe.model_copy(update={"baseline_steps": None})
    return {
        "baseline": _trained(as_many, run.baseline, anew),
        "baseline_seconds": _trained(recipe, run.baseline_seconds, anew),
    }


def _trained(recipe: Recipe, run: RunFolder, anew: bool) -> Baseline:
    """Return a baseline that an earlier start of the run trained, or the recipe that trains it."""
    if not anew and run.results.is_file():
        _require_same_length(recipe, run)
        return Baseline(run.student)
    return Baseline(run.student, student_alone(recipe))


def student_alone(recipe: Recipe) -> Recipe:
    """Return the recipe without its teacher and all that comes from it, as long as ``baseline_steps`` says.

    The polynomial decay covers whatever number of steps there is; milestones move by the same factor. The
    linear warm-up stays as it is: it guards the first steps.
    """
    student = recipe.student.model_copy(update={"inherit": ()})
    without: dict[str, Any] = {"student": student, "teacher": None, "distill": ()}
    without |= {"baseline": None, "baseline_steps": None}
    if recipe.baseline_steps is not None:
        factor = recipe.baseline_steps / recipe.training.length
        milestones = tuple(max(1, round(step * factor)) for step in recipe.optimizer.milestones)
        without["optimizer"] = recipe.optimizer.model_copy(update={"milestones": milestones})
        without["training"] = recipe.training.model_copy(update={"steps": recipe.baseline_steps})
    return recipe.model_copy(update=without)


def budget_facts(recipe: Recipe, baseline: Path) -> dict[str, Any]:
    """Return what ``results.json`` says of the lengths of student and student alone.

    Args:
        recipe: of the whole training.
        baseline: package of the student trained alone; of two the first.

    Returns:
        Steps of all, None where a run named by its folder does not tell, and whether both got the same time.
    """
    steps = recipe.training.length
    if recipe.baseline == BOTH:
        both = {"steps": steps, "baseline_steps": steps, "baseline_seconds_steps": recipe.baseline_steps}
        return both | {"equal_seconds": False}
    alone = (recipe.baseline_steps or steps) if recipe.trains_baseline else _steps_of(baseline)
    return {"steps": steps, "baseline_steps": alone, "equal_seconds": recipe.baseline == EQUAL_SECONDS}


def _steps_of(package: Path) -> int | None:
    """Return the steps of the run that a package is of; None where there is no such run."""
    run = package.parent if package.name == "student" else package
    if not (run / "recipe.yaml").is_file():
        return None
    try:
        return load_recipe(run / "recipe.yaml").training.steps
    except UserError:
        # A damaged recipe of a trained model takes nothing from the model.
        return None


def _require_same_length(recipe: Recipe, run: RunFolder) -> None:
    """Check that the student alone of an earlier start was trained for as long as is asked now."""
    wanted, found = recipe.baseline_steps or recipe.training.steps, _steps_of(run.path)
    if None not in (wanted, found) and wanted != found:
        raise RecipeError(
            f"{run.path}: the student alone was trained for {found} steps, and {wanted} are asked for now; "
            "--overwrite trains it anew, another --run keeps it."
        )
