"""Students and teachers of a recipe: built, filled with weights, remapped, frozen and measured."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from densekd.builders.bands import band_input, band_option, fit_teacher
from densekd.builders.student_classes import in_order_of_student
from densekd.builders.student_weights import Begins, load_student
from densekd.builders.teacher_classes import TeacherUse, map_classes, speaks_of
from densekd.data.contract import Files
from densekd.data.picture import RGB
from densekd.errors import RecipeError, UserError
from densekd.models import MODELS, contract, find_model
from densekd.models.bands import BandInput
from densekd.models.checkpoints.load import load_in_full, load_matched
from densekd.models.classes import unnamed_classes
from densekd.models.described import classes_in_checkpoint, description_of, options_for
from densekd.models.locate import locate
from densekd.models.named import build_named
from densekd.models.open import Opened, Weights, open_model, read_weights
from densekd.models.package import PackageConfig, config_of, require_packable
from densekd.models.pretrained import load_pretrained, pretrained_notes
from densekd.models.sources import names_weights
from densekd.recipe import ModelSpec, Recipe, StudentSpec
from densekd.tasks.protocol import Task
from densekd.trust import names_of_file

UNTRAINED = "untrained"


@dataclass(frozen=True)
class Models:
    """Student and teacher of a recipe.

    Args:
        student: in training mode.
        teacher: predicts the data's classes where the recipe or their names map them; None where the student is
            trained alone.
        files: of the training split, in the order of the student's classes.
        notes: what people should know of the two before the training.
        scorable: False where the teacher's names are of other classes than the data's.
    """

    student: Opened
    teacher: nn.Module | None
    files: Files
    notes: tuple[str, ...]
    scorable: bool = True


def build_models(recipe: Recipe, files: Files, use: TeacherUse) -> Models:
    """Build the student, and the teacher if there is one.

    Args:
        recipe: both models.
        files: of the training split, for its classes.
        use: what is read of the teacher.

    Raises:
        UserError: a name, an option or a file that is wrong, or weights that do not fit in full.
        RecipeError: a checkpoint of other classes than the data's.
    """
    names = files.classes.names
    bands = band_input(recipe.data, recipe.student, "student") if recipe.reads_bands else None
    student = build_model(recipe.student, len(names), "student", names, bands)
    files = in_order_of_student(recipe.student.classes, student, files)
    classes = files.classes
    if recipe.teacher is None:
        return Models(student, None, files, student.notes)
    teacher = build_teacher(recipe.teacher, len(classes.names))
    # Bands of the teacher are RGB almost always.
    if recipe.reads_bands or contract.bands(teacher.model) != RGB:
        teacher = replace(teacher, notes=teacher.notes + fit_teacher(teacher.model, recipe.data, recipe.teacher))
    inherit(student.model, teacher.model, recipe.student.inherit)
    model, notes = map_classes(recipe.teacher.classes, teacher, classes, use)
    scorable = recipe.teacher.classes is not None or model is not teacher.model or speaks_of(teacher, classes)
    return Models(student, model, files, student.notes + teacher.notes + notes, scorable)


def build_model(
    spec: ModelSpec,
    num_classes: int,
    where: Literal["student", "teacher"],
    names: Sequence[str] = (),
    bands: BandInput | None = None,
) -> Opened:
    """Build a model that a recipe names and load its weights; it is in training mode.

    Args:
        spec: a recipe's student or teacher.
        num_classes: of the data.
        where: for messages; a teacher keeps its own head.
        names: of the data's classes, by which a student's checkpoint of other classes is matched.
        bands: that a student reads in place of RGB.

    Raises:
        UserError: a name, an option or a file that is wrong, or weights that do not fit in full.
    """
    spec = _named_by_checkpoint(spec, where)
    if spec.model is None:
        raise RecipeError(f"{where}.model is missing.")
    # Whatever is trained must be exported; a teacher may be any function's.
    builder = find_model(spec.model, f"{where}.model")
    if where == "student":
        require_packable(spec.model, builder, where)
    # The file is read first: it may say what its keys do not show, how images were normalized.
    checkpoint = None
    options: Mapping[str, Any] = spec.options
    notes: tuple[str, ...] = ()
    if spec.checkpoint not in (None, UNTRAINED):
        require_there(spec.checkpoint, where)
        checkpoint = read_weights(spec.checkpoint)
        options, notes = options_for(checkpoint, spec.model, spec.options)
    if bands is not None and "bands" not in options:
        options = {**options, "bands": band_option(builder, bands)}
    supplied = {"num_classes": num_classes, "weights": _weights_of_name(spec, where)}
    built = build_named(spec.model, options, supplied, f"{where}.options")
    model = built.model
    # A checkpoint comes last: it fills everything, also what 'pretrained' filled.
    if spec.pretrained is not None:
        notes += load_pretrained(contract.backbone(model) or model, spec.pretrained)
        notes += pretrained_notes(model, spec.pretrained)
    classes = unnamed_classes(num_classes)
    if checkpoint is not None and isinstance(spec, StudentSpec):
        begins = Begins(spec, built.options, num_classes, names, spec.classes)
        classes, said = load_student(model, checkpoint, begins)
        notes += said
    elif checkpoint is not None:
        notes += load_matched(model, checkpoint, where, spec.allow).notes
        classes = classes_in_checkpoint(checkpoint, num_classes)
    config = config_of(spec.model, built.options, classes, contract.task_of(model))
    return Opened(model, classes, config, (*built.notes, *notes, *contract.notes(model)))


def _named_by_checkpoint(spec: ModelSpec, where: Literal["student", "teacher"]) -> ModelSpec:
    """Take the architecture from the description of a checkpoint, where the recipe does not name one.

    Raises:
        RecipeError: the checkpoint does not describe its model.
    """
    if spec.model is not None or spec.checkpoint in (None, UNTRAINED):
        return spec
    require_there(spec.checkpoint, where)
    described = description_of(read_weights(spec.checkpoint))
    if described is None:
        raise RecipeError(
            f"{where}.model is missing: {spec.checkpoint} does not say what model it is of. Name it, and its options."
        )
    # The name is the file's word, not the recipe's.
    with names_of_file(spec.checkpoint):
        find_model(described.model)
    return spec.model_copy(update={"model": described.model, "options": described.options | dict(spec.options)})


def build_teacher(spec: ModelSpec, num_classes: int) -> Opened:
    """Build a teacher, which must say where its weights come from.

    A package or a published file also says what model it is.

    Raises:
        UserError: no checkpoint, or one that is missing, partial or does not fit.
    """
    # A teacher without head is all backbone, and 'pretrained' fills that in full.
    complete = spec.pretrained is not None and spec.options.get("head") == "none"
    named = spec.model is not None and names_weights(spec.model, spec.options)
    if spec.checkpoint is None and not (complete or named):
        raise RecipeError(
            "teacher.checkpoint is missing: a teacher without weights teaches noise. "
            "Name a file (of one with head: none, 'pretrained' is enough), or write "
            f"'{UNTRAINED}' for a control experiment."
        )
    if spec.model is not None:
        return build_model(spec, num_classes, "teacher")
    if spec.checkpoint is None or spec.checkpoint == UNTRAINED:
        raise RecipeError("teacher.model is missing.")
    require_there(spec.checkpoint, "teacher")
    return open_model(spec.checkpoint, options=spec.options, allow=spec.allow)


def require_there(source: str, where: Literal["student", "teacher"]) -> None:
    """Name the recipe's key where nothing is at a checkpoint's place.

    Raises:
        UserError: nothing there.
    """
    try:
        locate(source)
    except UserError as error:
        remedy = f"Train or fetch the {where} first, or correct the path."
        raise UserError(f"{where}.checkpoint: {error} {remedy}") from error


def _weights_of_name(spec: ModelSpec, where: Literal["student", "teacher"]) -> Weights:
    """Choose which weights a name brings along: a teacher's all, a student's backbone's.

    Raises:
        RecipeError: the name and ``pretrained`` both bring weights.
    """
    assert spec.model is not None
    if not names_weights(spec.model, spec.options):
        return "none"
    if spec.pretrained is not None:
        raise RecipeError(f"{where}.pretrained: '{spec.model}' names its weights already; remove one of the two.")
    # A checkpoint, or the word that there is none, takes their place.
    if spec.checkpoint is not None:
        return "none"
    return "all" if where == "teacher" else "body"


def inherit(student: nn.Module, teacher: nn.Module, paths: Sequence[str]) -> None:
    """Give parts of the student the teacher's weights: FGD and MGD begin so with neck and head.

    Raises:
        RecipeError: a part that one of the two does not have, or that does not fit in full.
    """
    for path in paths:
        # Both need the part; whichever lacks it is named.
        for who, model in (("teacher", teacher), ("student", student)):
            if path not in dict(model.named_modules()):
                known = ", ".join(name for name, _ in model.named_children())
                raise RecipeError(
                    f"student.inherit: the {who} has no part '{path}'. It has {known}, and what is in them."
                )
        part = student.get_submodule(path)
        state = teacher.get_submodule(path).state_dict()
        problem = f"student.inherit: the teacher's '{path}' does not fit the student's"
        try:
            load_in_full(part, state, (), problem)
        except UserError as error:
            # Both models are as the recipe wants them: it is the recipe that is wrong.
            raise RecipeError(str(error)) from error


def package_config(
    recipe: Recipe,
    student: Opened,
    files: Files,
    task: Task,
    name: str,
) -> PackageConfig:
    """Describe the exported student; its auxiliary head and what froze parts of it stay behind.

    Args:
        recipe: for what images are brought to.
        student: as it was built.
        files: for the classes.
        task: for the options that predictions depend on.
        name: of the task.
    """
    model = student.config.model
    options = dict(student.config.options)
    # A model of a library is rebuilt from its config, without its files.
    packaged = contract.packaged(student.model)
    if packaged is not None:
        model, options = packaged
        # Its bands are no part of the library's config.
        if "bands" in student.config.options:
            options = {**options, "bands": student.config.options["bands"]}
    # What only a training needs stays behind.
    if model in MODELS:
        options.pop("freeze", None)
    if "auxiliary_channels" in inspect.signature(find_model(model)).parameters:
        options["auxiliary_channels"] = 0
    return replace(
        config_of(model, options, files.classes, name),
        resize=recipe.data.input_size,
        bands=recipe.data.bands,
        categories=files.categories,
        task_options=task.package_options,
        licenses=_licenses(recipe),
    )


def _licenses(recipe: Recipe) -> dict[str, str]:
    """Return what the recipe says of the licenses that a student may inherit."""
    said = {"data": recipe.data.license}
    if recipe.teacher is not None:
        said["teacher"] = recipe.teacher.license
    return {what: line for what, line in said.items() if line is not None}
