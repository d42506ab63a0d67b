"""Feature pictures of a run folder: its models and its data are opened and handed to the report."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from densekd.builders.models import build_teacher
from densekd.builders.task import packaged_task
from densekd.builders.teacher_classes import map_classes
from densekd.data.classes import Classes
from densekd.data.contract import Files
from densekd.errors import UserError
from densekd.models.open import Opened, open_model
from densekd.recipe import Recipe, load_recipe
from densekd.report.features import FeatureOptions, Shown, write_features
from densekd.run.baseline import find_baselines
from densekd.run.devices import training_device
from densekd.run.evaluate import fitting
from densekd.run.evaluation_data import asked_recipe, from_folder, from_recipe
from densekd.run.finish import evenly_spaced
from densekd.run.folder import RunFolder
from densekd.tasks.pixel_groups import GroupsPixels
from densekd.tasks.protocol import Task
from densekd.trust import names_of_file


def draw_features(run: Path, options: FeatureOptions, data: Path | None = None) -> tuple[Path, Sequence[str]]:
    """Write ``features.html`` into a run folder.

    Args:
        run: a finished run. A teacher or baseline that is not there leaves its column empty, and
            the page says why.
        options: what is drawn.
        data: a data folder in any known layout, or a recipe; None: the run's validation split.

    Returns:
        The page, and notes for people.

    Raises:
        UserError: no run folder, no student in it, data or a task that cannot be drawn.
    """
    folder = RunFolder(run)
    if not folder.recipe.is_file():
        raise UserError(f"{run}: feature pictures are drawn of a run folder, and there is no recipe.yaml.")
    recipe = load_recipe(folder.recipe)
    student = open_model(run)
    task = packaged_task(student.config, recipe.evaluation)
    if not isinstance(task, GroupsPixels):
        raise UserError(
            f"task {student.config.task}: has no pixel_groups(files, indices, resize), which says what pixels are "
            "colored by; see densekd.tasks.pixel_groups."
        )
    files = _files(recipe, data, task, student)
    indices = evenly_spaced(len(files), options.images)
    pixels = task.pixel_groups(files, indices, student.config.resize)
    models, missing = _models(recipe, folder, student, files.classes)
    shown = Shown(models, missing, pixels, run.resolve().name)
    page = run / "features.html"
    return page, write_features(shown, options, page)


def _files(recipe: Recipe, data: Path | None, task: Task, student: Opened) -> Files:
    """Find the images that are drawn.

    Raises:
        UserError: nothing there, or data of another kind or of other classes.
    """
    named = recipe if data is None else asked_recipe(data)
    if named is not None:
        source = from_recipe(named, None, None)
    else:
        assert data is not None
        source = from_folder(data, None, student)
    return fitting(task, student, source.files)


def _models(
    recipe: Recipe, folder: RunFolder, student: Opened, classes: Classes
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Open the models of a run by role, and say of each other role why it is missing."""
    models: dict[str, nn.Module] = {"student": student.model}
    missing: dict[str, str] = {}
    if recipe.teacher is None:
        missing["teacher"] = "the recipe has no teacher"
    else:
        try:
            with names_of_file(folder.recipe):
                teacher = build_teacher(recipe.teacher, len(classes.names))
            models["teacher"], _ = map_classes(recipe.teacher.classes, teacher, classes)
        except UserError as error:
            missing["teacher"] = str(error)
    try:
        baseline = find_baselines(recipe, folder).get("baseline")
        if baseline is None:
            missing["baseline"] = "not trained: the recipe has no baseline"
        elif baseline.recipe is not None:
            missing["baseline"] = f"not trained yet: {baseline.package} is not there"
        else:
            models["baseline"] = open_model(baseline.package).model
    except UserError as error:
        missing["baseline"] = str(error)
    device = training_device()
    for model in models.values():
        model.to(device)
    return models, missing
