"""In which precision things are computed."""

import torch
from torch import Tensor, nn


def call_in_precision(module: nn.Module, x: Tensor) -> Tensor:
    """Return ``module(x)`` computed in the precision of ``x``, whatever that of the module's parameters.

    Args:
        module: without buffers; its parameters get gradients in their own precision.
        x: floating point.
    """
    if all(parameter.dtype == x.dtype for parameter in module.parameters()):
        return module(x)  # type: ignore[no-any-return]
    parameters = {name: parameter.to(x.dtype) for name, parameter in module.named_parameters()}
    return torch.func.functional_call(module, parameters, (x,))  # type: ignore[no-any-return]


def to_float32(x: Tensor) -> Tensor:
    """Return ``x`` in at least float32."""
    return x.float() if x.dtype.itemsize < 4 else x
