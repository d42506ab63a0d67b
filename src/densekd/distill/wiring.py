"""Wiring: plans of terms become terms, with channels and sizes measured by one forward pass of both models."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from densekd.distill.adapters import ADAPTERS, AFTER_CONTEXT, CONTEXT, GraphContext
from densekd.distill.misfit import Meeting, describe_misfit
from densekd.distill.probe import at_rest, probe
from densekd.distill.teacher import Precision
from densekd.distill.terms import Context, PerLevel, Resize, Tap, TapPair, Term, WeightSchedule, paths
from densekd.distill.through import TeacherHead
from densekd.errors import RecipeError
from densekd.losses import LOSSES
from densekd.registry import check_options, construct, resolve
from densekd.signature import read_options
from densekd.tasks.common import device_of

LOGITS = TapPair("logits", "logits")
# What losses and adapters may ask for, and never the user's to set.
MEASURED = ("student_channels", "teacher_channels", "student_size", "teacher_size", "num_classes", "ignore_index")
_SIZES = ("student_size", "teacher_size")


@dataclass(frozen=True)
class TermPlan:
    """One term before anything of it is built.

    Args:
        method: name of ``LOSSES``, or ``package.module:Name``.
        weight: its schedule.
        where: the plan's place in what the user wrote, for messages.
        options: arguments of the loss.
        taps: paths in student and teacher, or a tuple of paths in each for a loss that compares levels.
        adapter: name of ``ADAPTERS``, or ``package.module:Name``: what is learned between the student's tap and the
            loss.
        adapter_options: arguments of the adapter.
        through: modules of the teacher that the adapted tensor goes through, see
            :class:`densekd.distill.through.TeacherHead`; empty for none.
        resize: see :class:`densekd.distill.terms.Term`.
    """

    method: str
    weight: WeightSchedule
    where: str
    options: Mapping[str, Any] = field(default_factory=dict)
    taps: TapPair = LOGITS
    adapter: str = "none"
    adapter_options: Mapping[str, Any] = field(default_factory=dict)
    through: tuple[str, ...] = ()
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
        teacher_precision: of the teacher's head, see :class:`densekd.distill.teacher.FrozenTeacher`.
    """

    images: Tensor
    target: Any
    facts: Mapping[str, Any]
    sizes: Literal["one", "many"] = "one"
    labels: Literal["present", "absent"] = "present"
    teacher_precision: Precision = "training"


def check_plan(plan: TermPlan) -> None:
    """Check what can be checked of a plan before any model is built: names, and options of loss and adapter.

    Raises:
        RecipeError: an unknown loss or adapter, or an option of the wrong name, type or range.
    """
    supplied = dict.fromkeys(MEASURED)
    check_options(resolve(plan.method, LOSSES, "loss"), plan.options, supplied, f"{plan.where}.options")
    adapter = resolve(plan.adapter, ADAPTERS, "adapter")
    check_options(adapter, plan.adapter_options, supplied, f"{plan.where}.adapter.options")


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
    student_features = _probe(student, [plan.taps.student for plan in plans.values()], batch.images)
    heads = _teacher_heads(plans, teacher, batch)
    teacher_taps = [plan.taps.teacher for plan in plans.values()]
    teacher_taps += [head.taps for head in heads.values()]
    teacher_features = _probe(teacher, teacher_taps, batch.images)
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
        loss_class = resolve(plan.method, LOSSES, "loss")
        adapter_class = resolve(plan.adapter, ADAPTERS, "adapter")
        for name, factory in ((plan.method, loss_class), (plan.adapter, adapter_class)):
            if self.batch.sizes == "many" and _asks_for_size(factory):
                raise RecipeError(f"{plan.where}: {name} is made for maps of one size; these images have many.")
        # Adapters of a first draw show what the loss will receive, and are dropped: the loss draws its weights first.
        with torch.random.fork_rng(devices=[]):
            compared = self._compared(self._adapters(adapter_class))
        supplied = {**self.batch.facts, **self._measured(compared)}
        loss = construct(loss_class, plan.options, supplied, f"{plan.where}.options")
        adapters = self._adapters(adapter_class)
        adapter = adapters[0] if isinstance(plan.taps.student, str) else PerLevel(adapters)
        return Term(loss, plan.taps, adapter, plan.weight, plan.resize, self.head)

    def _adapters(self, adapter_class: Callable[..., nn.Module]) -> list[nn.Module]:
        """Build one adapter for each of the student's taps."""
        adapters = []
        for student, teacher in zip(self._student_maps(), self._shapes_to_fit(), strict=True):
            measured = {
                "student_channels": student.shape[1],
                "teacher_channels": teacher[1],
                "student_size": tuple(student.shape[2:]),
                "teacher_size": tuple(teacher[2:]),
            }
            where = f"{self.plan.where}.adapter.options"
            adapters.append(construct(adapter_class, self.plan.adapter_options, measured, where))
        return adapters

    def _student_maps(self) -> list[Tensor]:
        return [self.student_features[path] for path in paths(self.plan.taps.student)]

    def _teacher_maps(self) -> list[Tensor]:
        return [self.teacher_features[path] for path in paths(self.plan.taps.teacher)]

    def _shapes_to_fit(self) -> Sequence[torch.Size]:
        """Return the shapes of what the adapters have to match: the teacher's taps, or what its head takes."""
        if self.head is not None:
            return self.head.shapes
        return [teacher.shape for teacher in self._teacher_maps()]

    def _compared(self, adapters: Sequence[nn.Module]) -> list[Tensor]:
        """Return what becomes of the student's maps before they are compared with the teacher's."""
        try:
            with torch.no_grad():
                adapted = [adapter.eval()(x) for adapter, x in zip(adapters, self._student_maps(), strict=True)]
                if self.head is None:
                    return adapted
                return [self.head(tuple(adapted), self.teacher_features)]
        except (ValueError, RuntimeError) as error:
            misfit = describe_misfit(self._meetings(), _adapter_that_fits(self.plan.taps), None)
            raise RecipeError(f"{self.plan.where}: {misfit}({error})") from error

    def _meetings(self) -> list[Meeting]:
        """Pair the student's taps with what their adapters have to match."""
        shapes = self._shapes_to_fit()
        names = [f"the teacher's {path}" for path in paths(self.plan.taps.teacher)]
        if self.head is not None:
            names = [f"what the teacher's {self.plan.through[0]} takes"] * len(shapes)
        meetings = []
        for path, name, shape in zip(paths(self.plan.taps.student), names, shapes, strict=True):
            meetings.append(Meeting(f"the student's {path}", self.student_features[path].shape, name, shape))
        return meetings

    def _measured(self, compared: Sequence[Tensor]) -> dict[str, Any]:
        """Return what a loss may ask of the tensors that it will receive; of a tuple of taps, level by level."""
        measured: dict[str, list[Any]] = {"student_channels": [], "teacher_channels": [], "teacher_size": []}
        for student, teacher in zip(compared, self._teacher_maps(), strict=True):
            measured["student_channels"].append(student.shape[1])
            measured["teacher_channels"].append(teacher.shape[1])
            like = student if self.plan.resize == "student" else teacher
            size = self.batch.images.shape[2:] if self.plan.resize == "label" else like.shape[2:]
            measured["teacher_size"].append(tuple(size))
        if isinstance(self.plan.taps.teacher, str):
            return {name: values[0] for name, values in measured.items()}
        return {name: tuple(values) for name, values in measured.items()}


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
    """Name one context for each student tap that terms want it on: CIRKDv2's losses share theirs."""
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
    return replace(plan, taps=TapPair(student, plan.taps.teacher), adapter=AFTER_CONTEXT[plan.adapter])


def _adapter_that_fits(taps: TapPair) -> str:
    """Name the adapter that changes channels; after a shared context it follows the context."""
    shared = any(path.startswith(CONTEXT) for path in paths(taps.student))
    return f"{CONTEXT}-conv" if shared else "conv"


def _asks_for_size(factory: Callable[..., Any]) -> bool:
    return any(name in _SIZES for name in read_options(factory))


def _try_out(
    term: Term, student_features: Mapping[str, Tensor], teacher_features: Mapping[str, Tensor], target: Any, where: str
) -> Tensor:
    """Run the term once on a copy, so that what does not fit is found before the first step."""
    term = copy.deepcopy(term).eval()
    with torch.no_grad():
        try:
            value: Tensor = term(student_features, teacher_features, target)
            return value
        except (ValueError, RuntimeError) as error:
            meetings = _meetings(term, student_features, teacher_features)
            # What comes out of the teacher's head has its channels, whatever the adapter.
            adapter = None if term.through is not None else _adapter_that_fits(term.taps)
            raise RecipeError(f"{where}: {describe_misfit(meetings, adapter, 'teacher')}({error})") from error


def _meetings(
    term: Term, student_features: Mapping[str, Tensor], teacher_features: Mapping[str, Tensor]
) -> list[Meeting]:
    """Pair the maps that a term compares."""
    teacher_paths = paths(term.taps.teacher)
    names = [f"the student's {path}" for path in paths(term.taps.student)]
    shapes = [student_features[path].shape for path in paths(term.taps.student)]
    if term.through is not None:
        names = [f"what the teacher's {term.through.modules[-1]} makes of it"]
        maps = tuple(student_features[path] for path in paths(term.taps.student))
        adapted = term.adapter(maps if isinstance(term.taps.student, tuple) else maps[0])
        shapes = [term.through(adapted, teacher_features).shape]
    meetings = []
    for name, shape, path in zip(names, shapes, teacher_paths, strict=True):
        meetings.append(Meeting(name, shape, f"the teacher's {path}", teacher_features[path].shape))
    return meetings
