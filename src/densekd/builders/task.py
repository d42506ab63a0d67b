"""The task of a recipe, or of a student package."""

from densekd.data.contract import Files
from densekd.doors import TASK
from densekd.errors import RecipeError, UserError
from densekd.models.package import PackageConfig
from densekd.recipe import EvaluationSpec, Recipe
from densekd.registry import construct, resolve
from densekd.tasks import TASKS
from densekd.tasks.protocol import Task
from densekd.trust import names_of_file


def find_task(name: str, where: str = "") -> type[Task]:
    """Find the class of a task: a name of ``TASKS`` or ``package.module:Name``.

    Raises:
        RecipeError: an unknown name, or something that is no task.
    """
    found: type[Task] = resolve(name, TASKS, "task", where, TASK)  # type: ignore[assignment]
    return found


def task_of_package(package: PackageConfig) -> type[Task]:
    """Return the class of the task that a package names.

    Raises:
        UserError: an unknown one, or one of a module that nobody said is trusted.
    """
    with names_of_file(f"the model ({package.model})"):
        return find_task(package.task)


def task_name(recipe: Recipe, files: Files) -> str:
    """Return the name of the task that a student is scored by.

    Without a loss of its own, it is the task that its data is usual for.
    """
    return recipe.task.kind if recipe.task.has_own_loss else files.task


def data_task(recipe: Recipe, files: Files) -> type[Task]:
    """Return the class of the task that a student is scored by.

    Raises:
        RecipeError: an unknown task, or one that does not read such files.
    """
    name = task_name(recipe, files)
    factory = find_task(name, "task.kind")
    if not isinstance(files, factory.files_type):
        raise RecipeError(
            f"task.kind is {name}, which reads {factory.files_type.holds}, but data.dataset: {recipe.data.dataset} "
            f"has {files.holds}; say 'task: {{kind: {files.task}}}' or choose another dataset."
        )
    return factory


def build_task(recipe: Recipe, files: Files) -> Task:
    """Build the task that scores the student.

    Args:
        recipe: its ``task`` and ``evaluation``.
        files: of the training split.

    Raises:
        RecipeError: a task that is not that of the data, an option that it does not take, or a way
            of resizing images that its labels do not stand.
    """
    factory = data_task(recipe, files)
    if factory.keeps_aspect_ratio and recipe.data.resize is not None:
        raise RecipeError("data.resize changes the aspect ratio; boxes have data.short_side and data.long_side.")
    if not factory.keeps_aspect_ratio and recipe.data.long_side is not None:
        raise RecipeError("data.long_side limits images with boxes; label maps have data.resize or data.short_side.")
    if recipe.task.has_own_loss and files.labels == "absent":
        raise RecipeError(
            "data: these images have no labels; say 'task: {kind: none}' to learn from the teacher alone."
        )
    supplied = {
        "num_classes": len(files.classes.names),
        "ignore_index": files.classes.ignore_index,
        "files": files,
        "evaluation": _evaluation(factory, recipe.evaluation),
    }
    task: Task = construct(factory, recipe.task.options, supplied, "task")
    return task


def packaged_task(package: PackageConfig, spec: EvaluationSpec) -> Task:
    """Build the task that a finished student is scored and predicts by.

    Args:
        package: of the student.
        spec: how it is evaluated.

    Raises:
        UserError: a task that cannot be found, or an option that it does not take.
    """
    factory = task_of_package(package)
    supplied = {
        "num_classes": len(package.classes),
        "ignore_index": package.ignore_index,
        "evaluation": _evaluation(factory, spec),
    }
    try:
        task: Task = construct(factory, package.task_options, supplied, "config.json: task")
    except RecipeError as error:
        raise UserError(str(error)) from error
    return task


def _evaluation(factory: type[Task], spec: EvaluationSpec) -> object:
    evaluation: object = construct(factory.evaluation_options, spec.options, {}, "evaluation")
    return evaluation
