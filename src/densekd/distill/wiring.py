"""Wiring: plans of terms become terms, their channels and sizes measured by a forward pass."""

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from densekd.distill.adapters import ADAPTERS, AFTER_CONTEXT, CONTEXT, GraphContext
from densekd.distill.misfit import Meeting, describe_misfit, require_one_stride, require_places
from densekd.distill.probe import at_rest, probe
from densekd.distill.teacher import Precision
from densekd.distill.term_plan import TermPlan
from densekd.distill.terms import Context, PerLevel, Tap, TapPair, Term, paths
from densekd.distill.through import TeacherHead
from densekd.errors import RecipeError
from densekd.losses import LOSSES
from densekd.ops.finite import require_finite_output
from densekd.registry import construct, describe_own_error
from densekd.signature import read_options
from densekd.tasks.common import device_of

# What is measured on maps of one size, and has no meaning where images differ in size.
_SIZES = ("student_size", "teacher_size")
# Losses of elements, which may have any places in common.
_OF_ELEMENTS = ("fitnet", "l1", "l2")


@dataclass(frozen=True)
class ProbeBatch:
    """What both models and every term are tried on before the first step.

    Args:
        images: float in [0, 1], ``[B, 3, H, W]``.
        target: what losses learn from, as the task gives it, or None.
        facts: what losses may ask for besides channels: ``num_classes``, ``ignore_index``.
        sizes: ``many`` where the images of a training differ in size.
        labels: ``absent`` where the target is void, as there are none.
        teacher_precision: of the teacher's head, see
            :class:`densekd.distill.teacher.FrozenTeacher`.
    """

    images: Tensor
    target: Any
    facts: Mapping[str, Any]
    sizes: Literal["one", "many"] = "one"
    labels: Literal["present", "absent"] = "present"
    teacher_precision: Precision = "training"


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
        RecipeError: an unknown tap or loss, or tensors that do not fit each other; the message says
            what would fix it.
    """
    # Terms are built and tried on the CPU, and some of them run the teacher's head.
    device = device_of(teacher)
    if any(plan.through for plan in plans.values()):
        teacher.cpu()
    try:
        with at_rest(teacher):
            return _wire(plans, student, teacher, batch)
    finally:
        teacher.to(device)


def _wire(
    plans: Mapping[str, TermPlan | Term], student: nn.Module, teacher: nn.Module, batch: ProbeBatch
) -> dict[str, Term | Context]:
    # One forward pass of each model, with all taps that the terms read.
    heads = _teacher_heads(plans, teacher, batch)
    student_taps, teacher_taps = [], []
    for plan in plans.values():
        student_taps.append(plan.taps.student)
        teacher_taps.append(plan.taps.teacher)
    for head in heads.values():
        teacher_taps.append(head.taps)
    student_features = _probe(student, student_taps, batch.images)
    teacher_features = _probe(teacher, teacher_taps, batch.images)
    for path, feature in teacher_features.items():
        require_finite_output(feature, f"The teacher cannot teach: its '{path}' is")
    # Terms after a shared context tap its output, which is as large as its input.
    contexts = _contexts(plans.values())
    terms: dict[str, Term | Context] = {}
    for path, name in contexts.items():
        channels = {"student_channels": student_features[path].shape[1]}
        block = construct(GraphContext, {}, channels, f"distill: {CONTEXT} on {path}")
        terms[name] = Context(path, block)
        student_features[name] = student_features[path]
    for name, plan in plans.items():
        if isinstance(plan, Term):
            term, where = plan, name
        else:
            _require_maps(plan, student_features, teacher_features, batch.images)
            after = _after_context(plan, contexts)
            term = _Wiring(after, student_features, teacher_features, batch, heads.get(name)).build()
            where = plan.where
        # The term is tried once, so that what does not fit is found before the first step.
        value = _try_out(term, student_features, teacher_features, batch.target, where)
        if batch.labels == "absent" and not value:
            raise RecipeError(f"{where}: {name} learns from labels, and these images have none.")
        terms[name] = term
    return terms


@dataclass(frozen=True)
class _Wiring:
    """One plan among the tensors of the probe."""

    plan: TermPlan
    student_features: Mapping[str, Tensor]
    teacher_features: Mapping[str, Tensor]
    batch: ProbeBatch
    head: TeacherHead | None

    def build(self) -> Term:
        """Build loss and adapters for the channels and sizes that the taps have."""
        plan = self.plan
        for name, factory in ((plan.method, plan.loss_class), (plan.adapter, plan.adapter_class)):
            if self.batch.sizes == "many" and _asks_for_size(factory):
                raise RecipeError(f"{plan.where}: {name} is made for maps of one size; these images have many.")
        # Adapters of a first draw show what the loss will receive, and are dropped: the loss draws
        # its weights first.
        with torch.random.fork_rng(devices=[]):
            compared = self._compared(self._adapters())
        supplied = {**self.batch.facts, **self._measured(compared)}
        loss = construct(plan.loss_class, plan.options, supplied, f"{plan.where}.options")
        adapters = self._adapters()
        adapter = adapters[0] if isinstance(plan.taps.student, str) else PerLevel(adapters)
        return Term(loss, plan.taps, adapter, plan.weight, plan.resize, self.head)

    def _adapters(self) -> list[nn.Module]:
        """Build one adapter for each of the student's taps."""
        adapters = []
        for student, teacher in zip(self._student_maps(), self._shapes_to_fit(), strict=True):
            measured = {
                "student_channels": student.shape[1],
                "teacher_channels": teacher[1],
                "student_size": tuple(student.shape[2:]),
                "teacher_size": tuple(teacher[2:]),
            }
            plan = self.plan
            where = f"{plan.where}.adapter.options"
            adapters.append(construct(plan.adapter_class, plan.adapter_options, measured, where))
        return adapters

    def _student_maps(self) -> list[Tensor]:
        return _read_all(self.student_features, self.plan.taps.student)

    def _teacher_maps(self) -> list[Tensor]:
        return _read_all(self.teacher_features, self.plan.taps.teacher)

    def _shapes_to_fit(self) -> Sequence[torch.Size]:
        """Return what the adapters have to match: the teacher's taps, or what its head takes."""
        if self.head is not None:
            return self.head.shapes
        return [teacher.shape for teacher in self._teacher_maps()]

    def _compared(self, adapters: Sequence[nn.Module]) -> list[Tensor]:
        """Return what becomes of the student's maps before they are compared with the teacher's."""
        adapted: list[Tensor] = []
        try:
            with torch.no_grad():
                for adapter, x in zip(adapters, self._student_maps(), strict=True):
                    adapted.append(adapter.eval()(x))
                if self.head is None:
                    return adapted
                return [self.head(tuple(adapted), self.teacher_features)]
        except (ValueError, RuntimeError) as error:
            misfit = describe_misfit(self._meetings(), _adapter_that_fits(self.plan.taps), None)
            raise RecipeError(f"{self.plan.where}: {misfit}({error})") from error

    def _meetings(self) -> list[Meeting]:
        """Pair the student's taps with what their adapters have to match."""
        shapes = self._shapes_to_fit()
        if self.head is None:
            names = _owned("teacher", self.plan.taps.teacher)
        else:
            names = [f"what the teacher's {self.plan.through[0]} takes"] * len(shapes)
        meetings = []
        for path, name, shape in zip(paths(self.plan.taps.student), names, shapes, strict=True):
            own = self.student_features[path].shape
            meetings.append(Meeting(f"the student's {path}", own, name, shape))
        return meetings

    def _measured(self, compared: Sequence[Tensor]) -> dict[str, Any]:
        """Return what a loss may ask of the tensors that it receives; of tuples, level by level."""
        measured: dict[str, list[Any]] = {
            "student_channels": [],
            "teacher_channels": [],
            "teacher_size": [],
        }
        for student, teacher in zip(compared, self._teacher_maps(), strict=True):
            measured["student_channels"].append(student.shape[1])
            measured["teacher_channels"].append(teacher.shape[1])
            like = student if self.plan.resize == "student" else teacher
            size = self.batch.images.shape[2:] if self.plan.resize == "label" else like.shape[2:]
            measured["teacher_size"].append(tuple(size))
        if isinstance(self.plan.taps.teacher, str):
            return {name: values[0] for name, values in measured.items()}
        return {name: tuple(values) for name, values in measured.items()}


def _require_maps(
    plan: TermPlan, student_features: Mapping[str, Tensor], teacher_features: Mapping[str, Tensor], images: Tensor
) -> None:
    """Refuse what our own losses and adapters would misread; those of a user may take anything.

    Raises:
        RecipeError: tokens, channels that are last, or levels of two strides in a loss that resizes unasked.
    """
    if plan.method not in LOSSES:
        return
    student, teacher = paths(plan.taps.student), paths(plan.taps.teacher)
    if plan.method in _OF_ELEMENTS and plan.adapter == "none":
        pairs = zip(student, teacher, strict=True)
        if all(student_features[own].shape == teacher_features[other].shape for own, other in pairs):
            return
    if plan.adapter in ADAPTERS:
        for path in student:
            require_places(plan.where, f"the student's {path}", student_features[path].shape, images.shape)
    # A head's other maps are looked at where the head takes them.
    for path in teacher:
        require_places(plan.where, f"the teacher's {path}", teacher_features[path].shape, images.shape)
    unasked = plan.resize == "none" and "resize" not in plan.options
    if unasked and not plan.through and "resize" in read_options(plan.loss_class):
        for own, other in zip(student, teacher, strict=True):
            if own.startswith("neck.") and other.startswith("neck."):
                names = (f"the student's {own}", f"the teacher's {other}")
                require_one_stride(plan.where, names, student_features[own].shape, teacher_features[other].shape)


def _teacher_heads(
    plans: Mapping[str, TermPlan | Term], teacher: nn.Module, batch: ProbeBatch
) -> dict[str, TeacherHead]:
    """Find the part of the teacher that terms go through, for those that do."""
    images = batch.images.to(device_of(teacher))
    heads: dict[str, TeacherHead] = {}
    for name, plan in plans.items():
        if isinstance(plan, Term):
            if plan.through is not None:
                heads[name] = plan.through
            continue
        if not plan.through:
            continue
        try:
            maps = len(paths(plan.taps.student))
            heads[name] = TeacherHead(teacher, plan.through, images, maps, batch.teacher_precision)
        except RecipeError as error:
            raise RecipeError(f"{plan.where}: {error}") from error
    return heads


def _probe(model: nn.Module, taps: Sequence[Tap], images: Tensor) -> dict[str, Tensor]:
    """Return the tapped tensors of one forward pass, on the CPU."""
    read: list[str] = []
    for tap in taps:
        read += paths(tap)
    features = probe(model, read, images.to(device_of(model)))
    return {path: feature.cpu() for path, feature in features.items()}


def _contexts(plans: Iterable[TermPlan | Term]) -> dict[str, str]:
    """Name one context for each student tap that wants one: CIRKDv2's losses share theirs."""
    wanted: list[str] = []
    for plan in plans:
        if isinstance(plan, TermPlan) and plan.adapter in AFTER_CONTEXT:
            wanted += paths(plan.taps.student)
    names: dict[str, str] = {}
    for path in dict.fromkeys(wanted):
        names[path] = f"{CONTEXT}~{len(names) + 1}" if names else CONTEXT
    return names


def _after_context(plan: TermPlan, contexts: Mapping[str, str]) -> TermPlan:
    """Return what is left of a term after the contexts of its taps."""
    if plan.adapter not in AFTER_CONTEXT:
        return plan
    names = tuple(contexts[path] for path in paths(plan.taps.student))
    student = names[0] if isinstance(plan.taps.student, str) else names
    taps = TapPair(student, plan.taps.teacher)
    return replace(plan, taps=taps, adapter=AFTER_CONTEXT[plan.adapter])


def _adapter_that_fits(taps: TapPair) -> str:
    """Name the adapter that changes channels; after a shared context it follows the context."""
    shared = any(path.startswith(CONTEXT) for path in paths(taps.student))
    return f"{CONTEXT}-conv" if shared else "conv"


def _asks_for_size(factory: Callable[..., Any]) -> bool:
    return any(name in _SIZES for name in read_options(factory))


def _try_out(
    term: Term,
    student_features: Mapping[str, Tensor],
    teacher_features: Mapping[str, Tensor],
    target: Any,
    where: str,
) -> Tensor:
    """Run the term once on a copy, so that what does not fit is found before the first step."""
    term = copy.deepcopy(term).eval()
    with torch.no_grad():
        try:
            value: Tensor = term(student_features, teacher_features, target)
            return value
        except TypeError as error:
            # A loss of torch takes two arguments, for instance; any other TypeError is raised inside.
            if _takes_three(term.loss):
                raise RecipeError(f"{where}: the loss failed: {describe_own_error(error)}.") from error
            raise RecipeError(f"{where}: a loss is called with (student, teacher, target); {error}.") from error
        except (ValueError, RuntimeError) as error:
            meetings = _meetings(term, student_features, teacher_features)
            # What comes out of the teacher's head has its channels, whatever the adapter.
            adapter = None if term.through is not None else _adapter_that_fits(term.taps)
            misfit = describe_misfit(meetings, adapter, "teacher")
            raise RecipeError(f"{where}: {misfit}({error})") from error


def _takes_three(loss: nn.Module) -> bool:
    """Tell whether a loss can be called with (student, teacher, target)."""
    try:
        inspect.signature(loss.forward).bind(None, None, None)
    except TypeError:
        return False
    return True


def _meetings(
    term: Term, student_features: Mapping[str, Tensor], teacher_features: Mapping[str, Tensor]
) -> list[Meeting]:
    """Pair the maps that a term compares."""
    names = _owned("student", term.taps.student)
    maps = _read_all(student_features, term.taps.student)
    if term.through is not None:
        adapted = term.adapter(maps[0] if isinstance(term.taps.student, str) else tuple(maps))
        names = [f"what the teacher's {term.through.modules[-1]} makes of it"]
        maps = [term.through(adapted, teacher_features)]
    others = _owned("teacher", term.taps.teacher)
    teacher_maps = _read_all(teacher_features, term.taps.teacher)
    meetings = []
    for name, own, other, teacher in zip(names, maps, others, teacher_maps, strict=True):
        meetings.append(Meeting(name, own.shape, other, teacher.shape))
    return meetings


def _read_all(features: Mapping[str, Tensor], tap: Tap) -> list[Tensor]:
    """Return the tensors of a tap, however many paths it has."""
    return [features[path] for path in paths(tap)]


def _owned(whose: Literal["student", "teacher"], tap: Tap) -> list[str]:
    """Name the paths of a tap in a message."""
    return [f"the {whose}'s {path}" for path in paths(tap)]
