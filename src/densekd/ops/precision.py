"""Floating point precision: float32 accumulation for half-precision (AMP) inputs."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def compute_dtype(*inputs: Tensor) -> torch.dtype:
    """Return the precision to compute in: the inputs' widest, at least float32."""
    dtype = torch.float32
    for x in inputs:
        dtype = torch.promote_types(dtype, x.dtype)
    return dtype


def to_float32(x: Tensor) -> Tensor:
    """Return ``x`` in at least float32; float64 stays."""
    return x.float() if x.dtype.itemsize < 4 else x


def grad_like(x: Tensor) -> Tensor:
    """Return an uninitialized gradient for ``x``: channels-last where ``x`` is, else contiguous.

    The gradient of a float16 map is float32: in float16's five exponent bits the derivative of a
        mean would underflow
    before the loss scale reaches it.
    """
    memory_format = torch.contiguous_format
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        memory_format = torch.channels_last
    dtype = torch.float32 if x.dtype == torch.float16 else x.dtype
    return torch.empty_like(x, dtype=dtype, memory_format=memory_format)


def without_autocast(device: str) -> AbstractContextManager[object]:
    """Leave mixed precision within a ``with`` block; where there is none, nothing is entered, which costs time, too.

    Args:
        device: type of the tensors' device.
    """
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def call_in_precision(module: nn.Module, x: Tensor) -> Tensor:
    """Return ``module(x)`` computed in the precision of ``x``, not in that of its parameters.

    Args:
        module: without buffers; its parameters get gradients in their own precision.
        x: floating point.
    """
    if all(parameter.dtype == x.dtype for parameter in module.parameters()):
        return module(x)  # type: ignore[no-any-return]
    parameters = {name: parameter.to(x.dtype) for name, parameter in module.named_parameters()}
    return torch.func.functional_call(module, parameters, (x,))  # type: ignore[no-any-return]
