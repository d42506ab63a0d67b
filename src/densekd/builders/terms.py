"""The terms of a recipe, tried on one forward of both models."""

import copy
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from densekd.builders.models import PROBE, probe
from densekd.data.classes import Classes
from densekd.distill.adapters import GraphContext
from densekd.distill.terms import Adapter, Context, PerLevel, TapPair, Term, WeightSchedule, make_adapter, paths
from densekd.errors import RecipeError
from densekd.losses import LOSSES
from densekd.ops.boxes import Boxes
from densekd.recipe import Recipe, TermSpec
from densekd.registry import construct, resolve

CONTEXT = "graph-context"


def build_terms(
    recipe: Recipe,
    student: nn.Module,
    teacher: nn.Module,
    classes: Classes,
    labels: Literal["present", "absent"] = "present",
) -> dict[str, Term | Context]:
    """Build the terms, and before them the contexts they share; shapes are probed with one forward of both models.

    Raises:
        RecipeError: an unknown tap or loss, or tensors that do not fit each other; the message says what would mend it.
    """
    specs: list[tuple[int, str, TermSpec]] = []
    for index, (base, spec) in enumerate(_named(recipe.distill)):
        specs += [(index, name, one) for name, one in _fanned(base, spec)]
    size = recipe.augment.crop or PROBE
    images = torch.rand(1, 3, *size)
    student_features = probe(student, [path for _, _, spec in specs for path in paths(spec.student)], images)
    teacher_features = probe(teacher, [path for _, _, spec in specs for path in paths(spec.teacher)], images)
    facts = {"num_classes": len(classes.names), "ignore_index": classes.ignore_index}
    target: Any = torch.full((1, *size), classes.ignore_index if labels == "absent" else 0)
    if recipe.task.kind == "detection":
        height, width = size
        middle = torch.tensor([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]])
        target = Boxes([middle], [torch.zeros(1, dtype=torch.int64)], torch.tensor([size]))
    contexts = _contexts(spec for _, _, spec in specs)
    terms: dict[str, Term | Context] = {}
    for path, context in contexts.items():
        block = construct(
            GraphContext, {}, {"channels": student_features[path].shape[1]}, f"distill: {CONTEXT} on {path}"
        )
        terms[context] = Context(path, block)
        student_features[context] = student_features[path]
    for index, name, spec in specs:
        behind = _behind(spec, contexts)
        levels = [
            (student_features[s], teacher_features[t])
            for s, t in zip(paths(behind.student), paths(behind.teacher), strict=True)
        ]
        supplied = facts | _measured(behind, levels, size)
        loss = resolve(spec.method, LOSSES, "loss")
        if recipe.augment.crop is None and "teacher_size" in inspect.signature(loss).parameters:
            raise RecipeError(f"distill.{name}: {spec.method} is made for maps of one size; these images have many.")
        term = _build_term(behind, levels, supplied, f"distill.{index}.options")
        value = _try_out(term, student_features, teacher_features, target, f"distill.{name}")
        if labels == "absent" and not value:
            raise RecipeError(f"distill.{name}: {spec.method} learns from labels, and these images have none.")
        terms[name] = term
    if hasattr(teacher, "auxiliary") and not any("aux" in path for path in teacher_features):
        teacher.auxiliary = None  # type: ignore[assignment]
    return terms


def _contexts(specs: Iterable[TermSpec]) -> dict[str, str]:
    """Name one context for each student tap that terms want it on: CIRKDv2's losses share theirs."""
    wanted = dict.fromkeys(path for spec in specs if spec.adapter.startswith(CONTEXT) for path in paths(spec.student))
    return {path: CONTEXT if not k else f"{CONTEXT}~{k + 1}" for k, path in enumerate(wanted)}


def _behind(spec: TermSpec, contexts: Mapping[str, str]) -> TermSpec:
    """Return what is left of a term behind the contexts of its taps."""
    if not spec.adapter.startswith(CONTEXT):
        return spec
    names = tuple(contexts[path] for path in paths(spec.student))
    adapter = spec.adapter.removeprefix(CONTEXT).removeprefix("-") or "none"
    return spec.model_copy(update={"student": names[0] if isinstance(spec.student, str) else names, "adapter": adapter})


def _measured(spec: TermSpec, levels: list[tuple[Tensor, Tensor]], crop: tuple[int, int]) -> dict[str, Any]:
    """Return what a loss may ask of the tensors that it will receive; of a list of taps, level by level."""
    sized = [s if spec.resize == "student" else t for s, t in levels]
    measured: dict[str, tuple[Any, ...]] = {
        "student_channels": tuple((s if spec.adapter == "none" else t).shape[1] for s, t in levels),
        "teacher_channels": tuple(t.shape[1] for _, t in levels),
        "teacher_size": tuple(crop if spec.resize == "label" else tuple(x.shape[2:]) for x in sized),
    }
    return {name: values[0] for name, values in measured.items()} if isinstance(spec.student, str) else measured


def _build_term(spec: TermSpec, levels: list[tuple[Tensor, Tensor]], supplied: Mapping[str, Any], where: str) -> Term:
    loss = construct(resolve(spec.method, LOSSES, "loss"), spec.options, supplied, where)
    kind = cast("Adapter", spec.adapter)
    adapters = [make_adapter(kind, s.shape[1], t.shape[1]) for s, t in levels]
    adapter = adapters[0] if isinstance(spec.student, str) else PerLevel(adapters)
    return Term(
        loss, TapPair(spec.student, spec.teacher), adapter, WeightSchedule(**spec.weight.model_dump()), spec.resize
    )


def _try_out(
    term: Term, student_features: Mapping[str, Tensor], teacher_features: Mapping[str, Tensor], target: Any, where: str
) -> Tensor:
    """Run the term once on a copy, so that shapes that do not fit are found before the first step."""
    try:
        with torch.no_grad():
            value: Tensor = copy.deepcopy(term).eval()(student_features, teacher_features, target)
            return value
    except (ValueError, RuntimeError) as error:
        raise RecipeError(f"{where}: {_misfit(term.taps, student_features, teacher_features)}({error})") from error


def _misfit(taps: TapPair, student_features: Mapping[str, Tensor], teacher_features: Mapping[str, Tensor]) -> str:
    """Say which shapes meet in a term, and what would bring them together."""
    shapes, convolutions, sizes_differ, classes_differ = [], [], False, False
    for student_path, teacher_path in zip(paths(taps.student), paths(taps.teacher), strict=True):
        student, teacher = student_features[student_path].shape, teacher_features[teacher_path].shape
        shapes.append(
            f"the student's {student_path} is {list(student)}, the teacher's {teacher_path} is {list(teacher)}"
        )
        if student[1] != teacher[1] and student_path == teacher_path == "logits":
            classes_differ = True
        elif student[1] != teacher[1]:
            convolutions.append(f"{student[1]} -> {teacher[1]}")
        sizes_differ |= student[2:] != teacher[2:]
    adapter = f"{CONTEXT}-conv" if any(path.startswith(CONTEXT) for path in paths(taps.student)) else "conv"
    fix = [f"'adapter: {adapter}' (a 1x1 convolution {', '.join(convolutions)})"] if convolutions else []
    fix += ["'teacher.classes', which maps the data's classes to the teacher's"] if classes_differ else []
    fix += ["'resize: teacher'"] if sizes_differ else []
    return f"{'; '.join(shapes)}. {'Mend it with ' + ' and '.join(fix) + '. ' if fix else ''}"


def _named(specs: tuple[TermSpec, ...]) -> list[tuple[str, TermSpec]]:
    """Name terms by their method, numbered where a method occurs again."""
    named: dict[str, TermSpec] = {}
    for spec in specs:
        base = spec.method.rpartition(":")[2].replace(".", "-")
        earlier = sum(1 for name in named if name.partition("~")[0] == base)
        named[base if not earlier else f"{base}~{earlier + 1}"] = spec
    return list(named.items())


def _fanned(name: str, spec: TermSpec) -> list[tuple[str, TermSpec]]:
    parts = spec.fan_out()
    return [(name, spec)] if len(parts) == 1 else [(f"{name}-{k}", part) for k, part in enumerate(parts)]
