"""Attach a gradient that is known in the forward pass to a value; autograd keeps that alone.

A fused kernel computes a loss and its gradient from the same exponentials. The gradient is saved
here, and the backward pass only scales it.
"""

from typing import Any

import torch
from torch import Tensor

from densekd.ops.once_differentiable import once_differentiable


def attach_grad(value: Tensor, x: Tensor, grad: Tensor) -> Tensor:
    """Return ``value`` with ``grad`` as its derivative by ``x``.

    Autograd keeps ``grad`` alone and multiplies once, whatever led to it; in plain operations it
    keeps several maps of the same size and makes as many again in the backward pass. Where the
    graph is not retained, ``grad`` itself becomes the gradient of ``x``. There is no second
    derivative.

    Args:
        value: broadcasts against ``grad``; each element depends on those of ``x`` that it
            broadcasts to. What it depends on already remains.
        x: the shape of ``grad``, any floating point precision; its gradient has the same precision.
        grad: without a graph, and owned by nobody else, because it is scaled in place.
    """
    result: Tensor = _AttachGrad.apply(value, x, grad, True)  # type: ignore[no-untyped-call]
    return result


def attach_own_grad(value: Tensor, x: Tensor) -> Tensor:
    """Return ``value`` with ``x`` itself as its derivative by ``x``: half a sum of squares."""
    result: Tensor = _AttachGrad.apply(value, x, x.detach(), False)  # type: ignore[no-untyped-call]
    return result


class _AttachGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, x: Tensor, grad: Tensor, owned: bool) -> Tensor:
        ctx.save_for_backward(grad)
        ctx.dtype = x.dtype
        ctx.owned = owned
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        if ctx.owned and _is_last_backward():
            # Nobody reads the saved tensor again: no second map is allocated.
            return upstream, _scale_(grad, upstream).to(ctx.dtype), None, None
        return upstream, (grad * upstream).to(ctx.dtype), None, None


def _scale_(grad: Tensor, upstream: Tensor) -> Tensor:
    """Multiply ``grad`` in place by ``upstream``, which broadcasts against it."""
    narrower = grad.dtype.itemsize < upstream.dtype.itemsize and upstream.ndim == grad.ndim > 0
    if grad.device.type != "cpu" or not narrower:
        return grad.mul_(upstream)
    # An operation on two precisions goes through the map in a slow order: 512 x 64 x 64 in bf16 took
    # 26 times as long as copies of one image at a time, that stay in the cache.
    shares = upstream.expand(len(grad), *upstream.shape[1:])
    for image, share in zip(grad, shares, strict=True):
        image.copy_(image.to(upstream.dtype).mul_(share))
    return grad


def _is_last_backward() -> bool:
    """Tell a plain backward pass from one with ``retain_graph``, which may be repeated."""
    if torch.compiler.is_compiling():
        # The compiler decides by itself which buffers it reuses.
        return False
    return not torch._C._autograd._get_current_graph_task_keep_graph()
