"""CGD: channel group distillation (SegDistill, github.com/wzpscott/SegDistill; the authors name no
paper)."""

from typing import Literal

import torch
from torch import Tensor, nn

from densekd.kernels import (
    Groups,
    Upsample,
    channel_kl,
    pixel_kl,
    resized_channel_kl,
    resized_pixel_kl,
    softmax_kl,
)
from densekd.ops.ranges import NonNegativeInt, Positive, PositiveInt
from densekd.ops.shapes import require_one_shape

Transform = Literal["channel", "pixel", "none"]
Scale = Literal["squared", "none"]


class CGD(nn.Module):
    """Channel group distillation: KL between softmax distributions over groups of channels.

    ``T^2 / (B G) * sum_{b,g} KL(softmax_{g,H,W}(teacher / T) || softmax_{g,H,W}(student / T))`` with
    G = ceil(C / size) groups of consecutive channels; where the size does not divide C the last
    group is smaller.

    Tap: ``logits`` with ``resize_to: label``. Weight: the authors ship 3 with T = 2 for groups, 1 with
    T = 1 for ``pixel`` (their PD) and groups of 1 (their CD), all with ``scale: none``. Cost: that of
    CWD and one pass more.

    Args:
        temperature: T > 0.
        transform: ``channel`` (groups), ``pixel`` (softmax over channels at each position, mean over
            positions) or ``none`` (softmax over the last axis, mean over the others).
        group_size: channels of one group; 1 is CWD, C one distribution per image. The authors ship
            10 of 150.
        shuffle_interval: in one of so many training calls the channels are permuted; 0: never. The
            authors ship 1000.
        scale: factor on the divergence; ``squared`` is T^2, ``none`` leaves it out (SegDistill).

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0.
        Buffer ``calls``: training calls so far, int64 scalar; counted only where channels are
        shuffled.

    Raises:
        ValueError: shapes that differ.
    """

    calls: Tensor

    def __init__(
        self,
        temperature: Positive = 2.0,
        transform: Transform = "channel",
        group_size: PositiveInt = 10,
        shuffle_interval: NonNegativeInt = 0,
        scale: Scale = "squared",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.transform = transform
        self.group_size = group_size
        self.shuffle_interval = shuffle_interval
        self.factor = 1.0
        if scale == "squared":
            self.factor = temperature**2
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        # One distribution for each position, each row of the map, or each group of channels.
        if self.transform == "pixel":
            divergence = pixel_kl(student, teacher, self.temperature)
        elif self.transform == "none":
            divergence = softmax_kl(student, teacher, 3, self.temperature)
        else:
            divergence = channel_kl(student, teacher, self.temperature, self._groups(student))
        return divergence.mean() * self.factor

    def resized(self, student: Tensor, teacher: Tensor, to: Upsample, target: Tensor | None = None) -> Tensor:
        """Return the loss of the upsampled maps, which no transform but ``none`` ever holds."""
        if self.transform == "none":
            return self.forward(to(student), to(teacher), target)
        # The kernel returns a sum over the upsampled positions.
        if self.transform == "pixel":
            positions = student.shape[0] * to.size[0] * to.size[1]
            total = resized_pixel_kl(student, teacher, to, self.temperature)
            return total * (self.factor / positions)
        groups = self._groups(student)
        divergence = resized_channel_kl(student, teacher, to, self.temperature, groups)
        return divergence.mean() * self.factor

    def _groups(self, x: Tensor) -> Groups:
        return Groups(self.group_size, self._order(x.shape[1]))

    def _order(self, channels: int) -> Tensor:
        """Count the call and return the order of the channels."""
        order = torch.arange(channels, device=self.calls.device)
        if self.shuffle_interval and self.training:
            self.calls += 1
            # Permute in every call and choose on the device: the host never waits for the count.
            permuted = torch.randperm(channels, device=order.device)
            order = permuted.where(self.calls % self.shuffle_interval == 0, order)
        return order
