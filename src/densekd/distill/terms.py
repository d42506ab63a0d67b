"""Terms of the training objective: loss, taps of both models, adapter, weight schedule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from densekd.distill.through import TeacherHead
from densekd.errors import RecipeError
from densekd.kernels import Upsample
from densekd.ops.interpolation import resize
from densekd.ops.precision import to_float32, without_autocast

Shape = Literal["linear", "exponential", "jump"]
Resize = Literal["none", "teacher", "student", "label"]
Tap = str | tuple[str, ...]
# Devices whose kernels are no slower for reading half precision; on the CPU they are (1.7 times).
_READ_HALF = ("cuda",)


@dataclass(frozen=True)
class WeightSchedule:
    """Loss weight schedule over optimizer steps n = 1, 2, ...: warm-up and decay (SegDistill).

    Warm-up for n < ``warmup``: ``value n / warmup`` (linear), ``value^(n / warmup)`` (exponential)
    or 0 (jump). Decay for ``start < n < end``: ``value (end - n) / (end - start)`` (linear),
    ``0.001 value^((end - n) / (end - start))`` (exponential) or 0 (jump); 0 from ``end`` on. Where
    the two overlap the decay holds.

    Args:
        value: the weight between warm-up and decay.
        warmup: length of the warm-up in steps; 0 for none.
        warmup_shape: its shape.
        decay: first and last step of the decay, or None.
        decay_shape: its shape.
    """

    value: float
    warmup: int = 0
    warmup_shape: Shape = "linear"
    decay: tuple[int, int] | None = None
    decay_shape: Shape = "linear"

    def __call__(self, n: int) -> float:
        """Return the weight at optimizer step ``n``, counted from 1."""
        # Where warm-up and decay overlap, the decay holds.
        if self.decay is not None and n > self.decay[0]:
            start, end = self.decay
            if n >= end:
                return 0.0
            share = (end - n) / (end - start)
            by_shape = {
                "linear": self.value * share,
                "exponential": 0.001 * self.value**share,
                "jump": 0.0,
            }
            return float(by_shape[self.decay_shape])
        if n < self.warmup:
            share = n / self.warmup
            by_shape = {"linear": self.value * share, "exponential": self.value**share, "jump": 0.0}
            return float(by_shape[self.warmup_shape])
        return self.value


class TapPair(NamedTuple):
    """Taps of a term: a path in each model, or equally many where the loss compares levels."""

    student: Tap
    teacher: Tap


@runtime_checkable
class Resizing(Protocol):
    """A loss that upsamples its maps by itself, without holding them at the size of the labels."""

    def resized(self, student: Tensor, teacher: Tensor, to: Upsample, target: Tensor | None) -> Tensor:
        """Return ``self(to(student), to(teacher), target)`` for maps of any precision."""
        ...


class Term(nn.Module):
    """Summand of the objective: ``weight(n) * loss(adapter(student tap), teacher tap, target)``.

    ``Term(CWD(4.0), weight=3.0)`` compares the logits of both models.

    Args:
        loss: see :mod:`densekd.losses`.
        taps: where the two tensors come from: (student's path, teacher's path), one path for both,
            or two tuples of as many paths for a loss that compares levels. See
            :class:`densekd.distill.taps.Taps`.
        adapter: applied to the student's tensor; None for none, :class:`PerLevel` for a tuple.
        weight: a number, or its schedule.
        resize: ``none``; ``teacher`` resizes the student's tensor to the teacher's size,
            ``student`` the teacher's to the student's; ``label`` resizes both to the size of the
            labels (SegDistill). Bilinear, ``align_corners=False``; of tuples, level by level. A
            loss that is :class:`Resizing` gets both as they are.
        through: the rest of the teacher's head, which the adapted tensor of the student goes
            through before it is compared; None: it is compared as it is.
    """

    def __init__(
        self,
        loss: nn.Module,
        taps: TapPair | tuple[Tap, Tap] | str = "logits",
        adapter: nn.Module | None = None,
        weight: WeightSchedule | float = 1.0,
        resize: Resize = "none",
        through: TeacherHead | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.taps = TapPair(taps, taps) if isinstance(taps, str) else TapPair(*taps)
        self.adapter = nn.Identity() if adapter is None else adapter
        self.weight = weight if isinstance(weight, WeightSchedule) else WeightSchedule(float(weight))
        self.resize = resize
        self.through = through

    def forward(
        self,
        student_features: Mapping[str, Tensor],
        teacher_features: Mapping[str, Tensor],
        target: Any,
    ) -> Tensor:
        """Return the unweighted loss.

        Args:
            student_features: the student's taps, each ``[B, C, H, W]``.
            teacher_features: the teacher's taps, without gradient.
            target: what the loss learns from: labels ``[B, H, W]``, boxes, or None.
        """
        student = self.adapter(_read(student_features, self.taps.student))
        if self.through is not None:
            student = self.through(student, teacher_features)
        teacher = _read(teacher_features, self.taps.teacher)
        if self.resize == "label" and isinstance(target, Tensor) and isinstance(self.loss, Resizing):
            return self._loss_resizes(student, teacher.detach(), target)
        if isinstance(student, tuple):
            levels = [self._fitted(*level, target) for level in zip(student, teacher, strict=True)]
            student, teacher = zip(*levels, strict=True)
        else:
            student, teacher = self._fitted(student, teacher, target)
        device = student_features[paths(self.taps.student)[0]].device
        # Mixed precision is for the networks; exponentials and sums over a map need more than eight
        # bits.
        with without_autocast(device.type):
            value: Tensor = self.loss(student, teacher, target)
        return value

    def _loss_resizes(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """Let the loss upsample inside its kernel: nothing is held at the size of the labels."""
        to = Upsample((target.shape[-2], target.shape[-1]))
        with without_autocast(student.device.type):
            return cast(Resizing, self.loss).resized(student, teacher, to, target)

    def _fitted(self, student: Tensor, teacher: Tensor, target: Any) -> tuple[Tensor, Tensor]:
        """Bring two maps to one size, and to float32 unless the loss widens them in its kernel."""
        student, teacher = self._resized(student, teacher.detach(), target)
        # Kernels on a GPU read half precision as it lies in memory and compute in float32.
        if student.device.type in _READ_HALF and getattr(self.loss, "takes_half", False):
            return student, teacher
        return to_float32(student), to_float32(teacher)

    def _resized(self, student: Tensor, teacher: Tensor, target: Any) -> tuple[Tensor, Tensor]:
        if self.resize == "teacher":
            return resize(student, teacher.shape[-2:]), teacher
        if self.resize == "student":
            return student, resize(teacher, student.shape[-2:])
        if self.resize == "label":
            if not isinstance(target, Tensor):
                raise RecipeError("resize_to: label needs a map of labels; this batch has none.")
            size = target.shape[-2:]
            return resize(student, size), resize(teacher, size)
        return student, teacher


class Context(nn.Module):
    """Block on a student tap that several terms share: it runs, learns and is saved once.

    It is listed among the terms; its name there is a student tap for the terms after it.

    Args:
        tap: path in the student.
        block: keeps the size of the map.
    """

    def __init__(self, tap: str, block: nn.Module) -> None:
        super().__init__()
        self.taps = TapPair(tap, ())
        self.block = block

    def forward(self, student_features: Mapping[str, Tensor]) -> Tensor:
        """Return the block's output for the student's taps."""
        output: Tensor = self.block(_read(student_features, self.taps.student))
        return output


class PerLevel(nn.ModuleList):
    """One adapter for each level of a tuple."""

    def forward(self, levels: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the adapted levels."""
        return tuple(adapter(level) for adapter, level in zip(self, levels, strict=True))


def paths(tap: Tap) -> tuple[str, ...]:
    """Return the paths of a tap, however many it has."""
    return (tap,) if isinstance(tap, str) else tap


def teacher_paths(terms: Mapping[str, Term | Context]) -> list[str]:
    """Return the paths that are read in the teacher, each once."""
    read: list[str] = []
    for term in terms.values():
        read += paths(term.taps.teacher)
    for head in teacher_heads(terms):
        read += head.taps
    return list(dict.fromkeys(read))


def teacher_heads(terms: Mapping[str, Term | Context]) -> list[TeacherHead]:
    """Return the parts of the teacher that terms go through."""
    return [term.through for term in terms.values() if isinstance(term, Term) and term.through is not None]


def _read(tensors: Mapping[str, Tensor], tap: Tap) -> Any:
    """Return the tensor of a path, or a tuple with that of each path."""
    return tensors[tap] if isinstance(tap, str) else tuple(tensors[path] for path in tap)
