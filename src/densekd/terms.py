"""A term of the training objective: a loss, where its two tensors come from, what aligns them, and its weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.errors import RecipeError

Shape = Literal["linear", "exponential", "jump"]
Resize = Literal["none", "teacher", "label"]


@dataclass(frozen=True)
class WeightSchedule:
    """The weight of a term over the optimiser steps n = 1, 2, ..., with the shapes that SegDistill ships.

    Warm-up for n < ``warmup``: ``value n / warmup`` (linear), ``value^(n / warmup)`` (exponential) or 0 (jump).
    Decay for ``start < n < end``: ``value (end - n) / (end - start)`` (linear),
    ``0.001 value^((end - n) / (end - start))`` (exponential) or 0 (jump); 0 from ``end`` on.

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
        """Return the weight at optimiser step ``n``, counted from 1."""
        if n < self.warmup:
            share = n / self.warmup
            return float(
                {"linear": self.value * share, "exponential": self.value**share, "jump": 0.0}[self.warmup_shape]
            )
        if self.decay is None or n <= self.decay[0]:
            return self.value
        start, end = self.decay
        if n >= end:
            return 0.0
        share = (end - n) / (end - start)
        by_shape = {"linear": self.value * share, "exponential": 0.001 * self.value**share, "jump": 0.0}
        return float(by_shape[self.decay_shape])


class Pair(NamedTuple):
    """The tap paths of one term."""

    student: str
    teacher: str


class Term(nn.Module):
    """One summand: ``weight(n) * loss(adapter(student tap), teacher tap, target)``.

    Args:
        loss: see :mod:`densekd.losses`.
        taps: where the two tensors come from.
        adapter: applied to the student's tensor; ``nn.Identity()`` for none.
        weight: its schedule.
        resize: ``none``; ``teacher`` enlarges or shrinks the student's tensor to the teacher's size; ``label`` resizes
            both to the size of the labels (SegDistill). Bilinear, ``align_corners=False``.
    """

    def __init__(self, loss: nn.Module, taps: Pair, adapter: nn.Module, weight: WeightSchedule, resize: Resize) -> None:
        super().__init__()
        self.loss = loss
        self.taps = taps
        self.adapter = adapter
        self.weight = weight
        self.resize = resize

    def forward(self, learnt: Mapping[str, Tensor], taught: Mapping[str, Tensor], target: Tensor | None) -> Tensor:
        """Return the unweighted loss.

        Args:
            learnt: the student's taps, each ``[B, C, H, W]``.
            taught: the teacher's taps, without gradient.
            target: labels ``[B, H, W]`` or None.
        """
        student, teacher = self.adapter(learnt[self.taps.student]), taught[self.taps.teacher].detach()
        student, teacher = self._resized(student, teacher, target)
        # Half precision is for the networks; exponentials and sums over a map need more than eight bits.
        with torch.autocast(student.device.type, enabled=False):
            value: Tensor = self.loss(_widen(student), _widen(teacher), target)
        return value

    def _resized(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.resize == "teacher":
            return _to(student, teacher.shape[-2:]), teacher
        if self.resize == "label":
            if target is None:
                raise RecipeError("resize: label needs labels; this batch has none.")
            return _to(student, target.shape[-2:]), _to(teacher, target.shape[-2:])
        return student, teacher


def make_adapter(
    kind: Literal["none", "conv", "conv-bn-relu"], student_channels: int, teacher_channels: int
) -> nn.Module:
    """Build what turns ``[B, student_channels, H, W]`` into ``[B, teacher_channels, H, W]``.

    Args:
        kind: ``none``, a 1x1 convolution (without bias, as CIRKD's), or the same with batch norm and ReLU (HWD's).
        student_channels: channels of the student's tap.
        teacher_channels: channels of the teacher's tap.
    """
    if kind == "none":
        return nn.Identity()
    conv = nn.Conv2d(student_channels, teacher_channels, 1, bias=False)
    if kind == "conv":
        return conv
    return nn.Sequential(conv, nn.BatchNorm2d(teacher_channels), nn.ReLU(inplace=True))


def _to(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _widen(x: Tensor) -> Tensor:
    return x.float() if x.dtype.itemsize < 4 else x
