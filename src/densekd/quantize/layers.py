"""Quantized layers: any module with int8 weights, or with its input or output on an integer grid.

Modules stay the same objects under the same names, with the same state besides the ranges of their
activations; their class is replaced by one that is derived from it. So taps, optimizers, frozen
parts and checkpoints meet what they know.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from densekd.quantize.grid import (
    SMALLEST_STEP,
    FakeQuantizer,
    Steps,
    per_channel,
    power_of_two,
    quantized_weight,
    weight_codes,
    weight_scale,
)

# Exactly these types: a subclass may do anything with its weight. A layer of one's own says the axis
# of its output channels in a class attribute ``weight_axis``.
_AXES: dict[type[nn.Module], int] = {nn.Conv2d: 0, Conv2dSame: 0, nn.Linear: 0, nn.ConvTranspose2d: 1}
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, BatchNormAct2d, FrozenBatchNorm2d)
# In steps: float32 holds sums of it and of products exactly.
_LARGEST_BIAS = 2.0**22
# Attribute of a derived class: the class that it is derived from.
_FLOAT = "_float_class"


def weight_axis(module: nn.Module) -> int | None:
    """Return the axis of the output channels in a layer's weight; None where it is no layer to quantize."""
    kind = float_class(module)
    if kind in _AXES:
        return _AXES[kind]
    axis: int | None = vars(kind).get("weight_axis")
    return axis


def float_class(module: nn.Module) -> type[nn.Module]:
    """Return the class that a module has, or had before it was quantized."""
    found: type[nn.Module] = getattr(type(module), _FLOAT, type(module))
    return found


def is_quantized(module: nn.Module) -> bool:
    """Tell whether a module is of a class of this file."""
    return hasattr(type(module), _FLOAT)


class Fold:
    """A convolution and the batch norm that it alone feeds: in evaluation mode they are one.

    In training they are two, and nothing is lost: a batch norm scales whole output channels, and so
    does the step of a symmetric weight, ``round(w g / (s g)) s g = g round(w / s) s``. The integers
    are the same with and without it, also where a gamma is zero.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        self.conv = conv
        self.norm = norm

    @property
    def active(self) -> bool:
        """Whether the convolution does what both did: in evaluation mode of both."""
        return not self.conv.training and not self.norm.training

    def gain(self) -> Tensor:
        """Return the factor of each channel, float64 ``[C]``, without gradient."""
        norm: Any = self.norm
        weight = 1.0 if norm.weight is None else norm.weight.detach().double()
        gain: Tensor = weight / (norm.running_var.double() + norm.eps).sqrt()
        return gain

    def bias(self, own: Tensor | None) -> Tensor:
        """Return the bias of both, float32 ``[C]``."""
        norm: Any = self.norm
        offset = -norm.running_mean.double() if own is None else own.double() - norm.running_mean.double()
        shift = 0.0 if norm.bias is None else norm.bias.double()
        bias: Tensor = (offset * self.gain() + shift).float()
        return bias


class Integers(NamedTuple):
    """Weight and bias of a layer as a device has them.

    Args:
        codes: int8, of the weight's shape.
        scale: their step in each output channel, float32 ``[C]``.
        bias: float32 ``[C]``, a multiple of the product of the steps of input and weight; or None.
    """

    codes: Tensor
    scale: Tensor
    bias: Tensor | None


class _Quantized:
    """What quantized modules share: a grid of the output, and of the input of layers."""

    _modules: dict[str, nn.Module | None]
    fold: Fold | None = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A class that was made while the program runs is found again by the one it is derived from.
        reduced: Any = super().__reduce_ex__(protocol)
        _, _, state, *rest = reduced
        kind = _new_layer if isinstance(self, _Layer) else _new_module
        return (kind, (getattr(type(self), _FLOAT),), state, *rest)

    def _run(self, *inputs: Any, **options: Any) -> Any:
        return super().forward(*inputs, **options)  # type: ignore[misc]

    def forward(self: Any, *inputs: Any, **options: Any) -> Any:
        """Run the module, and put its output on its grid."""
        fold = self.fold
        if fold is not None and fold.norm is self and fold.active:
            # The convolution has done it; what else the norm did is left.
            output = _after_norm(fold.norm, inputs[0])
        else:
            output = self._run(*inputs, **options)
        quantizer = self._modules.get("output_quantizer")
        return output if quantizer is None else quantizer(output)


class _Layer(_Quantized):
    """A layer whose weight is read on its int8 grid."""

    _parameters: dict[str, nn.Parameter | None]
    # Set for each layer: the kind of its steps, and the grids that its input may be on.
    steps: Steps
    sources: tuple[FakeQuantizer, ...]

    @property
    def weight(self) -> Tensor:
        """The weight as the device has it; the state dict holds the weight that learns."""
        plain, axis = _weight_of(self)
        if self.fold is None:
            return quantized_weight(plain, weight_scale(plain, axis, self.steps), axis)
        if self.fold.active:
            codes, scale, _ = integers_of(self)
            return (codes.float() * per_channel(scale, codes.ndim, axis)).to(plain.dtype)
        # The step is that of the weight with its batch norm, without which it is trained.
        gain = self.fold.gain().abs().float()
        scale = weight_scale(plain, axis, self.steps, gain) / gain
        scale = torch.where(gain == 0, weight_scale(plain, axis, self.steps), scale)
        return quantized_weight(plain, scale, axis)

    @property
    def bias(self) -> Tensor | None:
        """The bias; in evaluation mode as the device has it."""
        training = self.training if self.fold is None else not self.fold.active  # type: ignore[attr-defined]
        plain = self._parameters["bias"]
        if training:
            return plain
        bias = integers_of(self).bias
        weight, _ = _weight_of(self)
        return None if bias is None else bias.to(weight.dtype)

    def _run(self, *inputs: Any, **options: Any) -> Any:
        x, *rest = inputs
        quantizer = self._modules.get("input_quantizer")
        join = getattr(self, "join", None)
        if join is None:
            x = x if quantizer is None else quantizer(x)
            return super()._run(x, *rest, **options)
        # A device convolves one map: several are resized and concatenated first.
        x = join(x)
        x = x if quantizer is None else quantizer(x)
        weight = self.weight
        return F.conv2d(x, weight, self.bias, padding=weight.shape[2] // 2)


def _weight_of(layer: Any) -> tuple[Tensor, int]:
    """Return the weight that learns, and the axis of its output channels."""
    weight, axis = layer._parameters["weight"], weight_axis(layer)
    assert weight is not None
    assert axis is not None
    return weight, axis


@torch.no_grad()
def integers_of(layer: Any) -> Integers:
    """Return weight and bias of a quantized layer as a device has them, with the batch norm's.

    Args:
        layer: of a class of :func:`layer_class`.
    """
    weight, axis = _weight_of(layer)
    bias = layer._parameters["bias"]
    if layer.fold is not None:
        # A negative gamma turns the signs of a channel, and a gamma of zero makes zeros of it.
        weight = (weight.double() * per_channel(layer.fold.gain(), weight.ndim, axis)).float()
        bias = layer.fold.bias(bias)
    scale = weight_scale(weight, axis, layer.steps)
    # Inputs of several grids: the coarsest of powers of two is a multiple of all others.
    ready = [source.step().scale for source in layer.sources if source.ready]
    if bias is None or not ready:
        return Integers(weight_codes(weight, scale, axis), scale, bias)
    # Engines add the bias as an integer, in steps of the products of input and weight. Where it is far
    # above them, as behind a gamma of zero, the steps grow: it has to fit.
    coarsest = torch.stack(ready).amax()
    least = bias.abs() / (coarsest * _LARGEST_BIAS)
    scale = torch.maximum(scale, power_of_two(least.clamp(min=SMALLEST_STEP)))
    step = coarsest * scale
    return Integers(weight_codes(weight, scale, axis), scale, (bias / step).round() * step)


def _after_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """Return what is left of a norm that was folded: timm's has an activation inside."""
    if isinstance(norm, BatchNormAct2d):
        activated: Tensor = norm.act(norm.drop(x))
        return activated
    return x


def layer_class(plain: type[nn.Module]) -> type[nn.Module]:
    """Derive the class of layers with an int8 weight; the same one each time."""
    return _class_of(_Layer, plain)


def module_class(plain: type[nn.Module]) -> type[nn.Module]:
    """Derive the class of modules whose output is on a grid, or that a convolution does the work of."""
    return _class_of(_Quantized, plain)


def _class_of(kind: Any, plain: Any) -> type[nn.Module]:
    found: type[nn.Module] = _derive(kind, plain)
    return found


@cache
def _derive(kind: Any, plain: Any) -> type[nn.Module]:
    return type(f"Quantized{plain.__name__}", (kind, plain), {_FLOAT: plain})


def _new_layer(plain: type[nn.Module]) -> nn.Module:
    kind = layer_class(plain)
    return kind.__new__(kind)


def _new_module(plain: type[nn.Module]) -> nn.Module:
    kind = module_class(plain)
    return kind.__new__(kind)


def quantize_layer(module: nn.Module, steps: Steps) -> None:
    """Let a layer read its weight on the int8 grid, in place."""
    module.__class__ = layer_class(float_class(module))
    layer: Any = module
    layer.steps = steps
    layer.sources = ()


def set_sources(module: nn.Module, sources: Sequence[FakeQuantizer]) -> None:
    """Tell a quantized layer on which grids its input is; they are children of others."""
    object.__setattr__(module, "sources", tuple(sources))


def quantize_output(module: nn.Module, quantizer: FakeQuantizer) -> None:
    """Put the output of a module, one tensor, on a grid, in place."""
    if not is_quantized(module):
        module.__class__ = module_class(type(module))
    module.add_module("output_quantizer", quantizer)


def fold_norm(conv: nn.Module, norm: nn.Module) -> None:
    """Let a quantized convolution do the batch norm's work in evaluation mode."""
    if not is_quantized(norm):
        norm.__class__ = module_class(type(norm))
    fold = Fold(conv, norm)
    # Neither is the other's child: both have their places in the model.
    object.__setattr__(conv, "fold", fold)
    object.__setattr__(norm, "fold", fold)


def restore(module: nn.Module) -> None:
    """Make a module float again: its own class, no grid, its own weight."""
    if not is_quantized(module):
        return
    module.__class__ = float_class(module)
    for name in ("input_quantizer", "output_quantizer"):
        module._modules.pop(name, None)
    for name in ("fold", "steps", "sources"):
        vars(module).pop(name, None)
