"""Channel group distillation (SegDistill, github.com/wzpscott/SegDistill; the authors name no paper)."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from densekd.kernels import Groups, Upsample, channel_kl, pixel_kl, resized_channel_kl, resized_pixel_kl, softmax_kl
from densekd.losses.inputs import require_one_shape

Transform = Literal["channel", "pixel", "none"]
Scale = Literal["squared", "none"]


class CGD(nn.Module):
    """Match where groups of channels look: KL between softmax distributions over all values of a group.

    ``T^2 / (B G) * sum_{b,g} KL(softmax_{g,H,W}(teacher / T) || softmax_{g,H,W}(student / T))`` with G = ceil(C / size)
    groups of consecutive channels; where the size does not divide C the last group is smaller.

    Tap: ``logits`` with ``resize_to: label``. Weight: the authors ship 3 with T = 2 for groups, 1 with T = 1 for
    ``pixel`` (their PD) and groups of 1 (their CD), all with ``scale: none``. Cost: that of CWD and one pass more.

    Args:
        temperature: T > 0.
        transform: ``channel`` (groups), ``pixel`` (softmax over channels at each position, mean over positions) or
            ``none`` (softmax over the last axis, mean over the others).
        group_size: channels of one group; 1 is CWD, C one distribution per image. The authors ship 10 of 150.
        shuffle_interval: in one of so many training calls the channels are permuted; 0: never. The authors ship 1000.
        scale: factor on the divergence; ``squared`` is T^2, ``none`` leaves it out (SegDistill).

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0.
        Buffer ``calls``: training calls so far, int64 scalar; counted only where channels are shuffled.

    Raises:
        ValueError: a value out of range, an unknown choice, shapes that differ.
    """

    calls: Tensor

    def __init__(
        self,
        temperature: float = 2.0,
        transform: Transform = "channel",
        group_size: int = 10,
        shuffle_interval: int = 0,
        scale: Scale = "squared",
    ) -> None:
        super().__init__()
        if temperature <= 0 or group_size < 1 or shuffle_interval < 0:
            got = f"got {temperature}, {group_size}, {shuffle_interval}"
            raise ValueError(f"temperature and group_size must be positive, shuffle_interval not negative, {got}")
        for value, choices in ((transform, get_args(Transform)), (scale, get_args(Scale))):
            if value not in choices:
                raise ValueError(f"'{value}' is not one of {', '.join(choices)}")
        self.temperature, self.transform = temperature, transform
        self.group_size, self.shuffle_interval = group_size, shuffle_interval
        self.factor = temperature**2 if scale == "squared" else 1.0
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        if self.transform == "pixel":
            return pixel_kl(student, teacher, self.temperature).mean() * self.factor
        if self.transform == "none":
            return softmax_kl(student, teacher, 3, self.temperature).mean() * self.factor
        return channel_kl(student, teacher, self.temperature, self._groups(student)).mean() * self.factor

    def resized(self, student: Tensor, teacher: Tensor, to: Upsample, target: Tensor | None = None) -> Tensor:
        """Return the loss of the enlarged maps, which but with ``transform: none`` are never held."""
        if self.transform == "none":
            return self.forward(to(student), to(teacher), target)
        if self.transform == "pixel":
            positions = student.shape[0] * to.size[0] * to.size[1]
            return resized_pixel_kl(student, teacher, to, self.temperature) * (self.factor / positions)
        return resized_channel_kl(student, teacher, to, self.temperature, self._groups(student)).mean() * self.factor

    def _groups(self, x: Tensor) -> Groups:
        return Groups(self.group_size, self._order(x.shape[1]))

    def _order(self, channels: int) -> Tensor:
        """Count the call and return the order of the channels; the host never waits for the count."""
        order = torch.arange(channels, device=self.calls.device)
        if self.shuffle_interval and self.training:
            self.calls += 1
            order = torch.randperm(channels, device=order.device).where(self.calls % self.shuffle_interval == 0, order)
        return order
