"""Students and teachers: built, filled with weights, mapped, made cheap, probed."""

import inspect
from collections.abc import Sequence

import torch
from torch import nn

from densekd.data.classes import Classes
from densekd.data.contract import Files
from densekd.distill.probe import at_rest
from densekd.errors import RecipeError
from densekd.models import find_model
from densekd.models.checkpoints import load_matched
from densekd.models.checkpoints.download import located
from densekd.models.checkpoints.load import match
from densekd.models.mapped import RemapClasses
from densekd.models.package import PackageConfig, load_package, require_packable
from densekd.models.pretrained import load_pretrained
from densekd.models.published import load_published
from densekd.models.sources import names_weights
from densekd.recipe import ModelSpec, Recipe, TeacherSpec
from densekd.registry import construct
from densekd.tasks.protocol import Task

UNTRAINED = "untrained"
# Images on which shapes are measured where no crop says how large they will be.
PROBE = (128, 128)


def build_model(spec: ModelSpec, num_classes: int, where: str) -> nn.Module:
    """Build a model and load its weights.

    Args:
        spec: a recipe's student or teacher.
        num_classes: of the data.
        where: "student" or "teacher", for messages.

    Raises:
        UserError: a name, an option or a file that is wrong, or weights that do not fit in full.
    """
    if spec.model is None:
        raise RecipeError(f"{where}.model is missing.")
    builder = find_model(spec.model)
    if where == "student":
        require_packable(spec.model, builder, where)
    own = names_weights(spec.model, spec.options)
    if own and spec.pretrained is not None:
        raise RecipeError(f"{where}.pretrained: '{spec.model}' names its weights already; remove one of the two.")
    weights = "none" if not own or spec.checkpoint is not None else {"teacher": "all", "student": "body"}[where]
    model = construct(builder, spec.options, {"num_classes": num_classes, "weights": weights}, f"{where}.options")
    if not isinstance(model, nn.Module):
        raise RecipeError(f"{where}: {spec.model} built a {type(model).__name__}, not an nn.Module.")
    if spec.pretrained is not None:
        load_pretrained(getattr(model, "backbone", model), spec.pretrained)
    if spec.checkpoint not in (None, UNTRAINED):
        load_matched(model, located(spec.checkpoint), where, spec.allow)
    return model


def build_teacher(spec: ModelSpec, num_classes: int) -> nn.Module:
    """Build a teacher, which must say where its weights come from; a package also says what it is.

    Raises:
        UserError: no checkpoint, or one that is missing, partial or does not fit.
    """
    # A teacher without head is all backbone, and 'pretrained' fills that in full.
    complete = spec.pretrained is not None and spec.options.get("head") == "none"
    named = spec.model is not None and names_weights(spec.model, spec.options)
    if spec.checkpoint is None and not (complete or named):
        raise RecipeError(
            "teacher.checkpoint is missing: a teacher without weights teaches noise. "
            f"Name a file, or write '{UNTRAINED}' for a control experiment."
        )
    if spec.model is None:
        if spec.checkpoint is None or spec.checkpoint == UNTRAINED:
            raise RecipeError("teacher.model is missing.")
        path = located(spec.checkpoint)
        return load_package(path).model if path.is_dir() else load_published(path, spec.options, spec.allow).model
    return build_model(spec, num_classes, "teacher")


def inherit(student: nn.Module, teacher: nn.Module, paths: Sequence[str]) -> None:
    """Give parts of the student the weights of the teacher's, as FGD's and MGD's students begin (neck and head).

    Raises:
        RecipeError: a part that one of the two does not have, or that does not fit in full.
    """
    for path in paths:
        for who, model in (("teacher", teacher), ("student", student)):
            if path not in dict(model.named_modules()):
                known = ", ".join(name for name, _ in model.named_children())
                raise RecipeError(
                    f"student.inherit: the {who} has no part '{path}'. It has {known}, and what is in them."
                )
        part, state = student.get_submodule(path), teacher.get_submodule(path).state_dict()
        found = match(part, state)
        if not found.complete:
            raise RecipeError(
                f"student.inherit: the teacher's '{path}' does not fit the student's; nothing was copied.\n"
                f"{found.describe()}"
            )
        part.load_state_dict(state)


def map_classes(spec: TeacherSpec, teacher: nn.Module, classes: Classes) -> nn.Module:
    """Bring a teacher's logits to the data's classes, as ``teacher.classes`` says; without it return the teacher.

    Raises:
        RecipeError: a class of the data that is not mapped or unknown, or one that the teacher does not have.
    """
    if spec.classes is None:
        return teacher
    if set(spec.classes) != set(classes.names):
        wrong = sorted(set(spec.classes) ^ set(classes.names))
        raise RecipeError(
            f"teacher.classes must map every class of the data and no other: {', '.join(classes.names)}. "
            f"Missing or unknown: {', '.join(wrong)}."
        )
    folder = located(spec.checkpoint or "")
    names = load_package(folder).config.classes if spec.model is None and folder.is_dir() else []
    with at_rest(teacher):
        count = teacher(torch.rand(1, 3, 64, 64)).shape[1]

    def number(name: str, one: int | str) -> int:
        index = names.index(one) if one in names else one
        if not isinstance(index, int) or not 0 <= index < count:
            known = f"; it knows {', '.join(names)}" if names else ""
            raise RecipeError(f"teacher.classes.{name}: the teacher has {count} classes, and {one!r} is none{known}.")
        return index

    groups = []
    for name in classes.names:
        members = spec.classes[name]
        groups.append([number(name, one) for one in (members if isinstance(members, tuple) else (members,))])
    return RemapClasses(teacher, groups)


def package_config(recipe: Recipe, student: nn.Module, files: Files, task: Task, name: str) -> PackageConfig:
    """Say what the exported student is; the auxiliary head stays behind.

    Args:
        recipe: the student's name and options, and what images are brought to.
        student: as it was built.
        files: for the classes.
        task: for the options that predictions depend on.
        name: of the task.
    """
    assert recipe.student.model is not None
    model, options = getattr(student, "packaged", (recipe.student.model, dict(recipe.student.options)))
    if "auxiliary_channels" in inspect.signature(find_model(model)).parameters:
        options["auxiliary_channels"] = 0
    return PackageConfig(
        model=model,
        options=options,
        classes=list(files.classes.names),
        palette=[list(color) for color in files.classes.palette],
        ignore_index=files.classes.ignore_index,
        resize=recipe.data.input_size,
        categories=files.categories,
        task=name,
        task_options=task.package_options,
    )
