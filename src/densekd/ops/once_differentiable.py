"""Guard for autograd functions without a second derivative (double backward)."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Make an autograd function's ``backward`` refuse to become part of a graph.

    ``torch.autograd.function.once_differentiable`` complains only where the incoming gradient has a
    graph itself; else the second derivative, that of a gradient penalty for instance, would
    silently be zero.
    """

    @wraps(backward)
    def guarded(ctx: Any, *gradients: Any) -> Any:
        # A compiled graph refuses by itself, and is traced with gradients enabled.
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise NotImplementedError("this loss has no second derivative: create_graph must be False")
        return backward(ctx, *gradients)

    return guarded
