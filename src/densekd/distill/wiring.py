"""Wiring: plans of terms become terms, with channels and sizes measured by one forward pass of both models."""

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from densekd.distill.adapters import GraphContext
from densekd.distill.probe import device_of, probe
from densekd.distill.terms import (
    Adapter,
    Context,
    PerLevel,
    Resize,
    Tap,
    TapPair,
    Term,
    WeightSchedule,
    make_adapter,
    paths,
)
from densekd.errors import RecipeError
from densekd.losses import LOSSES
from densekd.registry import construct, resolve

CONTEXT = "graph-context"
LOGITS = TapPair("logits", "logits")


@dataclass(frozen=True)
class TermPlan:
    """One term before anything of it is built.

    Args:
        method: name of ``LOSSES``, or ``package.module:Name``.
        weight: its schedule.
        where: the plan's place in what the user wrote, for messages.
        options: arguments of the loss.
        taps: paths in student and teacher, or a tuple of paths in each for a loss that compares levels.
        adapter: what is learned between the student's tap and the loss.
        resize: see :class:`densekd.distill.terms.Term`.
    """

    method: str
    weight: WeightSchedule
    where: str
    options: Mapping[str, Any] = field(default_factory=dict)
    taps: TapPair = LOGITS
    adapter: str = "none"
    resize: Resize = "none"


@dataclass(frozen=True)
class ProbeBatch:
    """What both models and every term are tried on before the first step.

    Args:
        images: float in [0, 1], ``[B, 3, H, W]``.
        target: what losses learn from, as the task gives it, or None.
        facts: what losses may ask for besides channels: ``num_classes``, ``ignore_index``.
        sizes: ``many`` where the images of a training differ in size.
        labels: ``absent`` where the target is void, as there are none.
    """

    images: Tensor
    target: Any
    facts: Mapping[str, Any]
    sizes: Literal["one", "many"] = "one"
    labels: Literal["present", "absent"] = "present"


def wire_terms(
    plans: Mapping[str, TermPlan | Term], student: nn.Module, teacher: nn.Module, batch: ProbeBatch
) -> dict[str, Term | Context]:
    """Build terms, and before them the contexts they share.

    Args:
        plans: name -> what is compared; terms that are built already are tried out with the others.
        student: run once in evaluation mode.
        teacher: the same.
        batch: what both are run on.

    Raises:
        RecipeError: an unknown tap or loss, or tensors that do not fit each other; the message says what would fix it.
    """
    student_features = _probe(student, [plan.taps.student for plan in plans.values()], batch.images)
    teacher_features = _probe(teacher, [plan.taps.teacher for plan in plans.values()], batch.images)
    # Terms after a shared context tap its output, which is as large as its input.
    contexts = _contexts(plans.values())
    terms: dict[str, Term | Context] = {}
    for path, name in contexts.items():
        channels = student_features[path].shape[1]
        block = construct(GraphContext, {}, {"channels": channels}, f"distill: {CONTEXT} on {path}")
        terms[name] = Context(path, block)
        student_features[name] = student_features[path]
    for name, plan in plans.items():
        where = name if isinstance(plan, Term) else plan.where
        term = plan
        if isinstance(plan, TermPlan):
            term = _build_term(_after_context(plan, contexts), student_features, teacher_features, batch)
        # The term is tried once, so that what does not fit is found before the first step.
        value = _try_out(term, student_features, teacher_features, batch.target, where)
        if batch.labels == "absent" and not value:
            raise RecipeError(f"{where}: {name} learns from labels, and these images have none.")
        terms[name] = term
    return terms


def _probe(model: nn.Module, taps: Sequence[Tap], images: Tensor) -> dict[str, Tensor]:
    """Return the tapped tensors of one forward pass, on the CPU."""
    features = probe(model, _paths(taps), images.to(device_of(model)))
    return {path: feature.cpu() for path, feature in features.items()}


def _paths(taps: Sequence[Tap]) -> list[str]:
    """Return the paths of taps, those of tuples one by one."""
    found: list[str] = []
    for tap in taps:
        found += paths(tap)
    return found


def _contexts(plans: Iterable[TermPlan | Term]) -> dict[str, str]:
    """Name one context for each student tap that terms want it on: CIRKDv2's losses share theirs."""
    wanted: list[str] = []
    for plan in plans:
        if isinstance(plan, TermPlan) and plan.adapter.startswith(CONTEXT):
            wanted += paths(plan.taps.student)
    names: dict[str, str] = {}
    for path in dict.fromkeys(wanted):
        names[path] = f"{CONTEXT}~{len(names) + 1}" if names else CONTEXT
    return names


def _after_context(plan: TermPlan, contexts: Mapping[str, str]) -> TermPlan:
    """Return what is left of a term after the contexts of its taps."""
    if not plan.adapter.startswith(CONTEXT):
        return plan
    names = tuple(contexts[path] for path in paths(plan.taps.student))
    student = names[0] if isinstance(plan.taps.student, str) else names
    adapter = plan.adapter.removeprefix(CONTEXT).removeprefix("-") or "none"
    return replace(plan, taps=TapPair(student, plan.taps.teacher), adapter=adapter)


def _build_term(
    plan: TermPlan, student_features: Mapping[str, Tensor], teacher_features: Mapping[str, Tensor], batch: ProbeBatch
) -> Term:
    """Build loss and adapter for the channels and sizes that the taps have."""
    levels = []
    for student_path, teacher_path in zip(paths(plan.taps.student), paths(plan.taps.teacher), strict=True):
        levels.append((student_features[student_path], teacher_features[teacher_path]))
    loss_class = resolve(plan.method, LOSSES, "loss")
    if batch.sizes == "many" and _asks_for(loss_class, "teacher_size"):
        raise RecipeError(f"{plan.where}: {plan.method} is made for maps of one size; these images have many.")
    height, width = batch.images.shape[-2:]
    supplied = {**batch.facts, **_measured(plan, levels, (height, width))}
    loss = construct(loss_class, plan.options, supplied, f"{plan.where}.options")
    kind = cast("Adapter", plan.adapter)
    adapters = [make_adapter(kind, student.shape[1], teacher.shape[1]) for student, teacher in levels]
    adapter = adapters[0] if isinstance(plan.taps.student, str) else PerLevel(adapters)
    return Term(loss, plan.taps, adapter, plan.weight, plan.resize)


def _asks_for(factory: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(factory).parameters


def _measured(plan: TermPlan, levels: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int]) -> dict[str, Any]:
    """Return what a loss may ask of the tensors that it will receive; of a tuple of taps, level by level."""
    student_channels, teacher_channels, sizes = [], [], []
    for student, teacher in levels:
        adapted = student if plan.adapter == "none" else teacher
        student_channels.append(adapted.shape[1])
        teacher_channels.append(teacher.shape[1])
        compared = student if plan.resize == "student" else teacher
        sizes.append(size if plan.resize == "label" else tuple(compared.shape[2:]))
    measured = {"student_channels": student_channels, "teacher_channels": teacher_channels, "teacher_size": sizes}
    if isinstance(plan.taps.student, str):
        return {name: values[0] for name, values in measured.items()}
    return {name: tuple(values) for name, values in measured.items()}


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
    """Describe which shapes meet in a term, and what would bring them together."""
    shapes, convolutions = [], []
    sizes_differ = classes_differ = False
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
    fixes = []
    if convolutions:
        shared = any(path.startswith(CONTEXT) for path in paths(taps.student))
        adapter = f"{CONTEXT}-conv" if shared else "conv"
        fixes.append(f"'adapter: {adapter}' (a 1x1 convolution {', '.join(convolutions)})")
    if classes_differ:
        fixes.append("'teacher.classes', which maps the data's classes to the teacher's")
    if sizes_differ:
        fixes.append("'resize_to: teacher'")
    remedy = f"Mend it with {' and '.join(fixes)}. " if fixes else ""
    return f"{'; '.join(shapes)}. {remedy}"
