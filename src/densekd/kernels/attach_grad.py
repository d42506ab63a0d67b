"""A value whose derivative is known as soon as it is computed."""

from typing import Any

import torch
from torch import Tensor

from densekd.ops.once_differentiable import once_differentiable


def attach_grad(value: Tensor, x: Tensor, slope: Tensor) -> Tensor:
    """Return ``value``, which now depends on ``x`` too, with ``slope`` for a derivative.

    Autograd keeps ``slope`` alone and multiplies once, whatever led to it; in plain operations it keeps several maps of
    the same size and makes as many again on the way back. The slope itself becomes the gradient where the graph is not
    kept. There is no second derivative.

    Args:
        value: each element belongs to those of ``slope`` that it broadcasts to; what it depends on already remains.
        x: the shape of ``slope``, any floating point precision, which its gradient has as well.
        slope: without gradient; nobody else's, for it is scaled in place.
    """
    result: Tensor = _WithSlope.apply(value, x, slope, True)  # type: ignore[no-untyped-call]
    return result


def attach_own_grad(value: Tensor, x: Tensor) -> Tensor:
    """Return ``value``, whose derivative by ``x`` is ``x`` itself: half a sum of squares. Nothing more is kept."""
    result: Tensor = _WithSlope.apply(value, x, x.detach(), False)  # type: ignore[no-untyped-call]
    return result


class _WithSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, x: Tensor, slope: Tensor, given: bool) -> Tensor:
        ctx.save_for_backward(slope)
        ctx.dtype, ctx.given = x.dtype, given
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        own = slope.mul_(gradient) if ctx.given and _is_last() else slope * gradient
        return gradient, own.to(ctx.dtype), None, None


def _is_last() -> bool:
    """Say whether nothing will ask for what is saved again: a plain backward pass, without ``retain_graph``."""
    if torch.compiler.is_compiling():
        return False  # the compiler decides by itself what it may overwrite
    return not torch._C._autograd._get_current_graph_task_keep_graph()
