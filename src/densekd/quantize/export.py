"""Quantized model as a graph of QuantizeLinear and DequantizeLinear (QDQ) for ``torch.onnx.export``."""

import copy
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.quantize.apply import plan_of
from densekd.quantize.grid import RANGES, Activations, FakeQuantizer, per_channel
from densekd.quantize.layers import Integers, float_class, integers_of, is_quantized, weight_axis

# Opset of the symbolic operators: the first with a step for each channel.
_OPSET = 13


def exportable(model: nn.Module) -> nn.Module:
    """Return a copy of a quantized model whose ONNX graph has its integers and steps.

    Both exporters of ``torch.onnx.export`` take it, from opset 13. Batch norms are folded, weights
    are int8 with a DequantizeLinear for each channel, activations pass a QuantizeLinear and a
    DequantizeLinear with the trained step. In torch the copy computes what the model does in
    evaluation mode.

    Args:
        model: quantized and trained, or a module with such a model in it.

    Returns:
        The copy, in evaluation mode, without anything that learns.

    Raises:
        UserError: nothing in it is quantized, or its activations have no range yet.
    """
    if not any(plan_of(module) is not None for module in model.modules()):
        raise UserError("The model is not quantized; train it with 'training: {quantise: int8}'.")
    exported = copy.deepcopy(model).eval().requires_grad_(False)
    quantized = [module for module in exported.modules() if is_quantized(module)]
    # All integers first: those of a layer depend on its batch norm and on the grids of other modules.
    integers = {module: integers_of(module) for module in quantized if _is_layer(module)}
    for module in quantized:
        _fix(module, integers.get(module))
    return exported


class QuantizeDequantize(nn.Module):
    """Fake quantization with a constant step: one QuantizeLinear and one DequantizeLinear.

    Args:
        scale: the step.
        zero_point: the integer that means 0.
        activations: the integers' type.
    """

    def __init__(self, scale: float, zero_point: int, activations: Activations) -> None:
        super().__init__()
        self.scale = scale
        self.zero_point = zero_point
        self.activations: Activations = activations

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` on the grid."""
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, *RANGES[self.activations])

    def extra_repr(self) -> str:
        """Name the grid."""
        return f"{self.activations}, scale={self.scale:.6g}, zero_point={self.zero_point}"


class _Dequantize(torch.autograd.Function):
    """int8 weight times the step of each channel; DequantizeLinear in the graph of the tracing exporter."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor, scale: Tensor, axis: int) -> Tensor:
        return codes.float() * per_channel(scale, codes.ndim, axis)

    @staticmethod
    def symbolic(g: Any, codes: Any, scale: Any, axis: int) -> Any:
        return g.op("DequantizeLinear", codes, scale, axis_i=axis).setType(
            codes.type().with_dtype(torch.float32)  # the shape is known, the type is another
        )


def dequantize(codes: Tensor, scale: Tensor, axis: int) -> Tensor:
    """Return an int8 weight as floating point; a DequantizeLinear in the graphs of both exporters."""
    if torch.compiler.is_exporting():
        # The exporter by torch.export knows no symbolic of a function, but operators by name.
        return torch.onnx.ops.symbolic(
            "DequantizeLinear",
            (codes, scale),
            {"axis": axis},
            dtype=torch.float32,
            shape=codes.shape,
            version=_OPSET,
        )
    weight: Tensor = _Dequantize.apply(codes, scale, axis)  # type: ignore[no-untyped-call]
    return weight


class _Constant:
    """What exported modules share: their grids are constants, a norm's work is done."""

    _modules: dict[str, nn.Module | None]

    def _run(self, *inputs: Any, **options: Any) -> Any:
        return super().forward(*inputs, **options)  # type: ignore[misc]

    def forward(self, *inputs: Any, **options: Any) -> Any:
        output = self._run(*inputs, **options)
        quantizer = self._modules.get("output_quantizer")
        return output if quantizer is None else quantizer(output)


class _ConstantLayer(_Constant):
    """A layer with an int8 weight."""

    _buffers: dict[str, Tensor | None]

    @property
    def weight(self) -> Tensor:
        """The weight, dequantized."""
        codes, scale = self._buffers["codes"], self._buffers["scale"]
        assert codes is not None
        assert scale is not None
        return dequantize(codes, scale, self.codes_axis)  # type: ignore[attr-defined]

    def _run(self, *inputs: Any, **options: Any) -> Any:
        x, *rest = inputs
        quantizer = self._modules.get("input_quantizer")
        join = getattr(self, "join", None)
        x = x if join is None else join(x)
        x = x if quantizer is None else quantizer(x)
        if join is None:
            return super()._run(x, *rest, **options)
        codes = self._buffers["codes"]
        assert codes is not None
        return F.conv2d(x, self.weight, self._parameters["bias"], padding=codes.shape[2] // 2)  # type: ignore[attr-defined]


class _ConstantNorm(_Constant):
    """A batch norm that its convolution has done."""

    def _run(self, *inputs: Any, **options: Any) -> Any:
        if isinstance(self, BatchNormAct2d):
            return self.act(self.drop(inputs[0]))
        return inputs[0]


@cache
def _derived(kind: Any, plain: Any) -> type[nn.Module]:
    return type(f"Exported{plain.__name__}", (kind, plain), {})


def _fix(module: nn.Module, integers: Integers | None) -> None:
    """Give a quantized module of a copy its final integers, steps and class."""
    for name in ("input_quantizer", "output_quantizer"):
        quantizer = module._modules.get(name)
        if isinstance(quantizer, FakeQuantizer):
            module._modules[name] = _constant(quantizer)
    kind: Any = _Constant
    fold: Any = vars(module).pop("fold", None)
    if fold is not None and fold.norm is module:
        kind = _ConstantNorm
    elif integers is not None:
        kind = _ConstantLayer
        _store_integers(module, integers)
    for name in ("steps", "sources"):
        vars(module).pop(name, None)
    plain: Any = float_class(module)
    module.__class__ = _derived(kind, plain)


def _is_layer(module: nn.Module) -> bool:
    """Tell whether a quantized module reads an int8 weight: one may have a grid behind it alone."""
    return isinstance(getattr(type(module), "weight", None), property)


def _store_integers(module: nn.Module, integers: Integers) -> None:
    """Replace a layer's weight and bias by its integers, their steps, and the bias behind the norm."""
    codes, scale, bias = integers
    object.__setattr__(module, "codes_axis", weight_axis(module))
    del module._parameters["weight"]
    module._parameters["bias"] = None if bias is None else nn.Parameter(bias, requires_grad=False)
    module._buffers["codes"] = codes
    module._buffers["scale"] = scale


def _constant(quantizer: FakeQuantizer) -> QuantizeDequantize:
    if not quantizer.ready:
        raise UserError("The activations of the quantized model have no range yet: it was never trained.")
    scale, zero_point = quantizer.step()
    return QuantizeDequantize(scale.item(), int(zero_point.item()), quantizer.activations)
