"""Vectors of length one."""

from typing import Any

import torch
from torch import Tensor

from densekd.ops.once_differentiable import once_differentiable


def unit(x: Tensor, dim: int) -> Tensor:
    """Divide by the L2 norm along ``dim``.

    Vectors shorter than 1e-12 become zero and pass no gradient; ``F.normalize`` multiplies theirs by 1e12. The backward
    pass keeps the result and makes one map more beside the gradient. There is no second derivative.
    """
    result: Tensor = _Unit.apply(x, dim)  # type: ignore[no-untyped-call]
    return result


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        # On a CPU vector_norm takes 40 times as long along an axis that is not the last.
        norm = x.square().sum(dim, keepdim=True).sqrt()
        norm = norm.where(norm > 1e-12, torch.inf)
        result = x / norm
        ctx.save_for_backward(result, norm)
        ctx.dim = dim
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        result, norm = ctx.saved_tensors
        along = (gradient * result).sum(ctx.dim, keepdim=True)
        return gradient.addcmul(result, along, value=-1).div_(norm), None
