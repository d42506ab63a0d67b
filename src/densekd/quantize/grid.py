"""Integer grids: the steps of per-channel symmetric weights and of per-tensor activations."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from densekd.kernels.fake_quantize import fake_quantize

Activations = Literal["uint8", "int8"]

# Symmetric weights use -127..127: a channel whose sign is turned has the same grid.
_WEIGHT_LIMIT = 127
# A channel or a map of zeros needs a step, too; engines divide by it.
_SMALLEST_STEP = 2.0**-40


class Range(NamedTuple):
    """Smallest and largest integer of a grid."""

    low: int
    high: int


class Step(NamedTuple):
    """Step of a grid and the integer that means 0."""

    scale: Tensor
    zero_point: Tensor


RANGES: dict[Activations, Range] = {"uint8": Range(0, 255), "int8": Range(-128, 127)}


def weight_scale(weight: Tensor, axis: int) -> Tensor:
    """Return the step of each output channel, its largest magnitude over 127: float32 ``[C]``.

    Args:
        weight: of a convolution or a linear layer.
        axis: of the output channels.
    """
    others = [dimension for dimension in range(weight.ndim) if dimension != axis]
    largest = weight.detach().float().abs().amax(others)
    return (largest / _WEIGHT_LIMIT).clamp(min=_SMALLEST_STEP)


def quantized_weight(weight: Tensor, axis: int) -> Tensor:
    """Return a weight on its int8 grid, as floating point, with the straight-through gradient."""
    scale = weight_scale(weight, axis)
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    return fake_quantize(weight, scale, zero_point, -_WEIGHT_LIMIT, _WEIGHT_LIMIT, axis)


def weight_codes(weight: Tensor, axis: int) -> Tensor:
    """Return the integers of a weight, int8, to be multiplied by :func:`weight_scale`."""
    rounded = quantized_weight(weight.detach().float(), axis)
    scale = per_channel(weight_scale(weight, axis), rounded.ndim, axis)
    return (rounded / scale).round().to(torch.int8)


def per_channel(values: Tensor, dimensions: int, axis: int) -> Tensor:
    """Shape a value for each channel so that it meets a tensor: ``[1, C, 1, ...]``."""
    shape = [1] * dimensions
    shape[axis] = -1
    return values.view(shape)


def activation_step(low: Tensor, high: Tensor, activations: Activations) -> Step:
    """Return the step that covers ``low..high``, and 0 exactly.

    Args:
        low: smallest value, a scalar.
        high: largest value, a scalar.
        activations: ``uint8``: 256 steps from the smallest to the largest value, 0 is one of them.
            ``int8``: symmetric around 0, whose integer is 0.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    smallest, largest = RANGES[activations]
    if activations == "int8":
        scale = (torch.maximum(-low, high) / largest).clamp(min=_SMALLEST_STEP)
        return Step(scale, torch.zeros_like(scale, dtype=torch.int32))
    scale = ((high - low) / (largest - smallest)).clamp(min=_SMALLEST_STEP)
    zero_point = (smallest - low / scale).round().clamp(smallest, largest)
    return Step(scale, zero_point.to(torch.int32))


class FakeQuantizer(nn.Module):
    """Fake quantization of one activation, whose range is observed while it trains.

    A quantizer that has no range yet lets everything pass. While it observes, it notes the range of
    the values of a step; :func:`densekd.quantize.observe.update_ranges` moves the stored range
    towards it.

    Args:
        activations: see :func:`activation_step`.

    Shape:
        any floating point tensor -> the same shape and dtype.
    """

    low: Tensor
    high: Tensor

    def __init__(self, activations: Activations = "uint8") -> None:
        super().__init__()
        self.activations: Activations = activations
        # Nothing seen: an empty range.
        self.register_buffer("low", torch.tensor(float("inf")))
        self.register_buffer("high", torch.tensor(float("-inf")))
        # The host knows whether there is a range, without asking the device.
        self.ready = False
        self.observing = False
        # Range of what passed since the last update: (low, high), or nothing.
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` on the grid of its range."""
        if self.observing:
            self._note(x.detach())
        if not self.ready:
            return x
        step = activation_step(self.low, self.high, self.activations)
        # bfloat16 has too few digits to find the step that a value belongs to.
        wide = x if x.dtype == torch.float64 else x.float()
        return fake_quantize(wide, *step, *RANGES[self.activations]).to(x.dtype)

    def _note(self, x: Tensor) -> None:
        extremes = torch.stack(torch.aminmax(x)).float()
        if self.seen is not None:
            # The module ran before in this step: on another level, or another part of the batch.
            low = torch.minimum(extremes[0], self.seen[0])
            extremes = torch.stack([low, torch.maximum(extremes[1], self.seen[1])])
        self.seen = extremes

    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Set the stored range, scalars."""
        self.low.copy_(low)
        self.high.copy_(high)
        self.ready = True

    def step(self) -> Step:
        """Return the step of the stored range."""
        return activation_step(self.low, self.high, self.activations)

    def _load_from_state_dict(self, *arguments: object) -> None:
        super()._load_from_state_dict(*arguments)  # type: ignore[arg-type]
        self.ready = bool(self.low <= self.high)

    def extra_repr(self) -> str:
        """Name the grid."""
        return self.activations
