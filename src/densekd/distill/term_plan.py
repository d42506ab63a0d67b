"""Plan of a term: what is compared, by names and paths, before anything of it is built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from densekd.distill.adapters import ADAPTERS
from densekd.distill.terms import Resize, TapPair, WeightSchedule
from densekd.doors import MODULE
from densekd.losses import LOSSES
from densekd.registry import check_options, resolve

LOGITS = TapPair("logits", "logits")
# What losses and adapters may ask for, and never the user's to set.
MEASURED = (
    "student_channels",
    "teacher_channels",
    "student_size",
    "teacher_size",
    "num_classes",
    "ignore_index",
)


@dataclass(frozen=True)
class TermPlan:
    """One term before anything of it is built.

    Args:
        method: name of ``LOSSES``, or ``package.module:Name``.
        weight: its schedule.
        where: the plan's place in what the user wrote, for messages.
        options: arguments of the loss.
        taps: paths in student and teacher, or a tuple of paths in each for a loss that compares
            levels.
        adapter: name of ``ADAPTERS``, or ``package.module:Name``: what is learned between the
            student's tap and the loss.
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

    @property
    def loss_class(self) -> Callable[..., nn.Module]:
        """The loss that the method names."""
        return resolve(self.method, LOSSES, "loss", self.where, MODULE)

    @property
    def adapter_class(self) -> Callable[..., nn.Module]:
        """The class or function that the adapter names."""
        return resolve(self.adapter, ADAPTERS, "adapter", self.where, MODULE)


def check_plan(plan: TermPlan) -> None:
    """Check names and options of a plan before any model is built.

    Raises:
        RecipeError: an unknown loss or adapter, or an option of the wrong name, type or range.
    """
    supplied = dict.fromkeys(MEASURED)
    check_options(plan.loss_class, plan.options, supplied, f"{plan.where}.options")
    where = f"{plan.where}.adapter.options"
    check_options(plan.adapter_class, plan.adapter_options, supplied, where)
