"""Integer grids: the steps of per-channel symmetric weights and of per-tensor activations."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from densekd.kernels.fake_quantize import fake_quantize

Activations = Literal["uint8", "int8"]
Steps = Literal["power-of-two", "free"]
STEPS: tuple[Steps, ...] = ("power-of-two", "free")

# Symmetric weights use -127..127: a channel whose sign is turned has the same grid.
_WEIGHT_LIMIT = 127
# A channel or a map of zeros needs a step, too; engines divide by it.
SMALLEST_STEP = 2.0**-40


class Range(NamedTuple):
    """Smallest and largest integer of a grid."""

    low: int
    high: int


class Step(NamedTuple):
    """Step of a grid and the integer that means 0."""

    scale: Tensor
    zero_point: Tensor


RANGES: dict[Activations, Range] = {"uint8": Range(0, 255), "int8": Range(-128, 127)}


def power_of_two(scale: Tensor) -> Tensor:
    """Return the smallest power of two that is not below each positive value, exactly."""
    mantissa, exponent = torch.frexp(scale)
    # scale = mantissa * 2^exponent with a mantissa in [1/2, 1); 1/2 is a power of two itself.
    exponent = exponent - (mantissa == 0.5).to(exponent.dtype)
    return torch.ldexp(torch.ones_like(scale), exponent)


def weight_scale(weight: Tensor, axis: int, steps: Steps, gain: Tensor | None = None) -> Tensor:
    """Return the step of each output channel, float32 ``[C]``: its largest magnitude over 127, or more.

    Args:
        weight: of a convolution or a linear layer.
        axis: of the output channels.
        steps: ``power-of-two``: the next one above.
        gain: factors that the weight is multiplied by, float ``[C]``, not negative; the step is that
            of the product.
    """
    others = [dimension for dimension in range(weight.ndim) if dimension != axis]
    largest = weight.detach().float().abs().amax(others)
    if gain is not None:
        largest = largest * gain.float()
    scale = (largest / _WEIGHT_LIMIT).clamp(min=SMALLEST_STEP)
    return power_of_two(scale) if steps == "power-of-two" else scale


def quantized_weight(weight: Tensor, scale: Tensor, axis: int) -> Tensor:
    """Return a weight on its int8 grid, as floating point, with the straight-through gradient.

    Args:
        weight: of a convolution or a linear layer.
        scale: the step of each output channel, ``[C]``.
        axis: of the output channels.
    """
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    return fake_quantize(weight, scale, zero_point, -_WEIGHT_LIMIT, _WEIGHT_LIMIT, axis)


def weight_codes(weight: Tensor, scale: Tensor, axis: int) -> Tensor:
    """Return the integers of a weight, int8, to be multiplied by its steps ``scale [C]``."""
    weight = weight.detach().float()
    rounded = quantized_weight(weight, scale, axis)
    return (rounded / per_channel(scale, weight.ndim, axis)).round().to(torch.int8)


def per_channel(values: Tensor, dimensions: int, axis: int) -> Tensor:
    """Shape a value for each channel so that it meets a tensor: ``[1, C, 1, ...]``."""
    shape = [1] * dimensions
    shape[axis] = -1
    return values.view(shape)


def activation_step(low: Tensor, high: Tensor, activations: Activations, steps: Steps) -> Step:
    """Return the step that covers ``low..high``, and 0 exactly.

    Args:
        low: smallest value, a scalar.
        high: largest value, a scalar.
        activations: ``uint8``: 256 steps from the smallest to the largest value, 0 is one of them.
            ``int8``: symmetric around 0, whose integer is 0.
        steps: ``power-of-two``: the step is the next one above.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    smallest, largest = RANGES[activations]
    if activations == "int8":
        scale = _step(torch.maximum(-low, high) / largest, steps)
        return Step(scale, torch.zeros_like(scale, dtype=torch.int32))
    scale = _step((high - low) / (largest - smallest), steps)
    zero_point = (smallest - low / scale).round().clamp(smallest, largest)
    return Step(scale, zero_point.to(torch.int32))


def _step(scale: Tensor, steps: Steps) -> Tensor:
    scale = scale.clamp(min=SMALLEST_STEP)
    return power_of_two(scale) if steps == "power-of-two" else scale


class FakeQuantizer(nn.Module):
    """Fake quantization of one activation, whose range is observed while it trains.

    A quantizer that has no range yet lets everything pass. While it observes, it notes the range of
    the values of a step; :func:`densekd.quantize.observe.update_ranges` moves the stored range
    towards it.

    Args:
        activations: see :func:`activation_step`.
        steps: the same.

    Shape:
        any floating point tensor -> the same shape and dtype.
    """

    low: Tensor
    high: Tensor

    def __init__(self, activations: Activations = "uint8", steps: Steps = "power-of-two") -> None:
        super().__init__()
        self.activations: Activations = activations
        self.steps: Steps = steps
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
        step = self.step()
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
        return activation_step(self.low, self.high, self.activations, self.steps)

    def _load_from_state_dict(self, *arguments: object) -> None:
        super()._load_from_state_dict(*arguments)
        self.ready = bool(self.low <= self.high)

    def extra_repr(self) -> str:
        """Name the grid."""
        return f"{self.activations}, {self.steps}"
