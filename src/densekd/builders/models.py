"""Students and teachers: built, filled with weights, mapped, made cheap, probed."""

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from densekd.builders.data import Files
from densekd.data.classes import Classes
from densekd.data.detection import DetectionFiles
from densekd.distill.fuse_batchnorm import fold_batch_norms
from densekd.distill.taps import Taps
from densekd.distill.teacher import FrozenTeacher
from densekd.distill.terms import Context, Term, teacher_paths
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


def freeze(recipe: Recipe, teacher: nn.Module, terms: Mapping[str, Term | Context]) -> FrozenTeacher:
    """Make the teacher as cheap as it can be with the same outputs, see :mod:`densekd.distill.fuse_batchnorm`."""
    spec, read = recipe.teacher, teacher_paths(terms)
    assert spec is not None
    teacher = teacher.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fold_batch_norms(teacher, read, torch.rand(1, 3, *(recipe.augment.crop or PROBE)))
    return FrozenTeacher(teacher, read, precision_of(recipe), spec.compile)


def describe_model(model: nn.Module) -> str:
    """Return a digest of what a model is made of and of its weights."""
    digest = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def precision_of(recipe: Recipe) -> Literal["32", "bf16"]:
    """Return the teacher's precision."""
    own = "training" if recipe.teacher is None else recipe.teacher.precision
    return recipe.training.precision if own == "training" else own


def probe(model: nn.Module, paths: list[str], images: Tensor) -> dict[str, Tensor]:
    """Run a model once in evaluation mode, without a trace in its statistics, and return the tapped tensors."""
    with at_rest(model):
        return Taps(model, dict.fromkeys(paths))(images)[1]


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients for a while."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(mode)


def package_config(recipe: Recipe, student: nn.Module, files: Files) -> PackageConfig:
    """Say what the exported student is; the auxiliary head stays behind."""
    assert recipe.student.model is not None
    name, options = getattr(student, "packaged", (recipe.student.model, dict(recipe.student.options)))
    if "auxiliary_channels" in inspect.signature(find_model(name)).parameters:
        options["auxiliary_channels"] = 0
    palette = [list(color) for color in files.classes.palette]
    names, void = list(files.classes.names), files.classes.ignore_index
    categories = files.categories if isinstance(files, DetectionFiles) else ()
    task = "detection" if isinstance(files, DetectionFiles) else "segmentation"
    return PackageConfig(name, options, names, palette, void, recipe.data.resize, categories, task)
