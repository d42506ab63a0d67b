"""The baseline of a distillation: the same student trained alone, same seed and schedule."""

from dataclasses import dataclass
from pathlib import Path

from densekd.models.open import open_model
from densekd.recipe import Recipe
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


def find_baseline(recipe: Recipe, run: RunFolder, anew: bool = False) -> Baseline | None:
    """Find the baseline that a recipe asks for, or the recipe that trains it into ``run.baseline``.

    Args:
        recipe: the whole training's.
        run: its folder.
        anew: what is in the folder will be overwritten, a baseline too.

    Raises:
        UserError: the folder that ``baseline:`` names holds no student.
    """
    if recipe.baseline is None:
        return None
    if recipe.baseline != "train":
        package = Path(recipe.baseline).expanduser()
        # Read now, so that a missing or damaged one stops the training before it begins.
        open_model(package)
        return Baseline(package)
    # Trained already, by an earlier start of this run.
    if not anew and run.baseline.results.is_file():
        return Baseline(run.baseline.student)
    return Baseline(run.baseline.student, student_alone(recipe))


def student_alone(recipe: Recipe) -> Recipe:
    """Return the recipe without its teacher and all that comes from it."""
    student = recipe.student.model_copy(update={"inherit": ()})
    without = {"student": student, "teacher": None, "distill": (), "baseline": None}
    return recipe.model_copy(update=without)
