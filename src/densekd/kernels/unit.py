"""Vectors of length one."""

import torch
from torch import Tensor


def unit(x: Tensor, dim: int) -> Tensor:
    """Divide by the L2 norm along ``dim``.

    Vectors shorter than 1e-12 become zero and pass no gradient; ``F.normalize`` multiplies theirs by 1e12.
    """
    norm: Tensor = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / norm.where(norm > 1e-12, torch.inf)
