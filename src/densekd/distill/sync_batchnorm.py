"""Synchronized batch norm (SyncBN): statistics over the batch of all processes, on any device.

torch's own ``nn.SyncBatchNorm`` refuses the CPU and cannot be differentiated twice, which the
gradient penalty of an adversarial loss needs; this one runs wherever torch.distributed does.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from densekd.errors import UserError
from densekd.ops.processes import gather_over_processes, in_process_group, sum_over_processes

SyncBatchNorm = Literal["auto", "on", "off"]

# Attribute of a derived class: the class that it is derived from.
_PLAIN = "_plain_class"


class Statistics(NamedTuple):
    """Statistics of each channel over the batch of all processes.

    Args:
        mean: ``[C]``, at least float32.
        var: biased, ``[C]``.
        values: how many a channel has, a scalar.
    """

    mean: Tensor
    var: Tensor
    values: Tensor


def synchronize_batch_norms(*models: nn.Module) -> int:
    """Let the batch norms of ``models`` share their statistics over all processes, in place.

    Modules stay the same objects with the same state; their class is replaced by one that is
    derived from it, as torch's FSDP and parametrizations do. So any subclass keeps what else it
    does, whoever holds a module holds the synchronized one, and state dicts do not change.
    :func:`restore_batch_norms` takes it back. Without a process group, and in evaluation mode, a
    synchronized batch norm is a plain one.

    Args:
        models: those that learn; a frozen teacher has nothing to synchronize.

    Returns:
        how many batch norms share their statistics.
    """
    found = batch_norms(models)
    for norm in found:
        if not hasattr(type(norm), _PLAIN):
            norm.__class__ = _synchronized(type(norm))  # type: ignore[arg-type]
    return len(found)


def restore_batch_norms(*models: nn.Module) -> None:
    """Undo :func:`synchronize_batch_norms`: every batch norm is of its own class again."""
    for model in models:
        for module in model.modules():
            plain = getattr(type(module), _PLAIN, None)
            if plain is not None:
                module.__class__ = plain


def batch_norms(models: Iterable[nn.Module]) -> list[nn.Module]:
    """List the batch norms that can share their statistics, each once.

    One without running statistics is left to its process: it belongs to a loss (FBKD's), whose
    authors leave it so, and may not run in every process. torch's own ``SyncBatchNorm`` is
    synchronized already.
    """
    found: dict[nn.Module, None] = {}
    for model in models:
        for module in model.modules():
            if not isinstance(module, _BatchNorm) or isinstance(module, nn.SyncBatchNorm):
                continue
            if module.track_running_stats:
                found[module] = None
    return list(found)


def describe_batch_norms(models: Sequence[nn.Module], processes: int, sync: SyncBatchNorm) -> str:
    """Say whose statistics the batch norms of ``models`` use in a training by ``processes``."""
    count = len(batch_norms(models))
    if not count:
        return "none"
    if processes == 1:
        return f"{count} layers, one process has the whole batch"
    if sync == "off":
        return f"{count} layers, statistics of each of {processes} processes alone (training.sync_batchnorm: off)"
    return f"{count} layers synchronized over {processes} processes"


@contextmanager
def explained_single_values() -> Iterator[None]:
    """Say what to change where a batch norm has a single value for each channel.

    Raises:
        UserError: in place of torch's ValueError.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            f"A batch norm cannot learn from a single value per channel ({error}): this process has one image at "
            "a time, pooled to one position. Give it two or more (a larger data.batch_size, or fewer parts: "
            "training.accumulate), or let several processes share their statistics (training.sync_batchnorm: auto)."
        ) from error


def joined_statistics(x: Tensor) -> Statistics:
    """Return the statistics of each channel over all processes, without gradient.

    Every process sends mean, variance and count of its own values; they are joined around the
    common mean, which loses no digits where the mean is large. Counts may differ.

    Args:
        x: this process' values, ``[B, C, ...]``.
    """
    # A mean of bfloat16 values needs more digits than they have.
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    mean, var = torch.batch_norm_update_stats(wide, None, None, 0.0)
    count = mean.new_full((1,), x.numel() // x.shape[1])
    # [processes, 2 C + 1]
    rows = gather_over_processes(torch.cat([mean, var, count])[None])
    channels = x.shape[1]
    means, variances, counts = torch.split(rows, [channels, channels, 1], 1)
    # Each process counts by its share; the spread between the means adds to that within.
    total = counts.sum()
    shares = counts / total
    mean = (shares * means).sum(0)
    var = (shares * (variances + (means - mean).square())).sum(0)
    return Statistics(mean, var, total)


def sync_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Compute ``F.batch_norm`` with the statistics of all processes where it is training.

    The gradient takes into account that the statistics depend on the values of every process, so
    that gradients that are averaged over processes (DDP) are those of one process with the whole
    batch. A channel may have a single value in a process: pooled maps of one image.

    Args:
        x: ``[B, C, ...]``; B may differ between processes.
        running_mean: ``[C]``, updated in place; or None.
        running_var: the same; it gets the unbiased variance of all processes.
        weight: ``[C]``, or None.
        bias: ``[C]``, or None.
        training: False normalizes by the running statistics, in each process alone.
        momentum: share of the new statistics in the running ones.
        eps: added to the variance.
    """
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    y, mean, var, count = _Normalize.apply(x, weight, bias, eps)  # type: ignore[no-untyped-call]
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            unbiased = var * (count / (count - 1).clamp(min=1))
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    normalized: Tensor = y
    return normalized


class _Normalize(torch.autograd.Function):
    """Batch norm by joined statistics, which its gradient differentiates."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
        statistics = joined_statistics(x)
        ctx.save_for_backward(x, weight, bias, *statistics)
        ctx.eps = eps
        ctx.mark_non_differentiable(*statistics)
        mean, var, _ = statistics
        # Known statistics make it an elementwise kernel, as in evaluation.
        y = F.batch_norm(x, mean, var, _like(weight, mean), _like(bias, mean), False, 0.0, eps)
        return y, *statistics

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> Any:
        x, weight, bias, *rest = ctx.saved_tensors
        # Whoever differentiates the gradient once more (a gradient penalty) gets plain autograd.
        if torch.is_grad_enabled():
            return (*_gradients_with_graph(grad, (x, weight, bias), ctx.needs_input_grad, ctx.eps), None)
        by_x, by_weight, by_bias = _gradients(grad, x, weight, Statistics(*rest), ctx.eps)
        return by_x, _like(by_weight, weight), _like(by_bias, bias), None


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor | None, statistics: Statistics, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients by ``x``, weight and bias; those of the latter two are this process' own."""
    mean, var, count = statistics
    scale = _like(weight, mean)
    # This process' sums of grad * normalized and of grad.
    _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
        grad, x, scale, mean, var, None, None, False, eps, [False, True, True]
    )
    # The values of every process moved the statistics: their means over all of them.
    by_scale, by_shift = sum_over_processes(torch.stack([by_weight, by_bias])) / count
    invstd = (var + eps).rsqrt()
    factor = invstd if scale is None else invstd * scale
    # factor * (grad - mean of grad - normalized * mean of grad * normalized), in one buffer that is
    # at least float32: the three nearly cancel where a channel has few values.
    shape = _per_channel(x)
    by_x = (x - mean.view(shape)).mul_((-invstd * by_scale).view(shape))
    by_x.add_(grad).sub_(by_shift.view(shape)).mul_(factor.view(shape))
    return by_x.to(x.dtype), by_weight, by_bias


def _gradients_with_graph(
    grad: Tensor, inputs: Sequence[Any], needed: Sequence[bool], eps: float
) -> list[Tensor | None]:
    """Return the gradients by those of ``(x, weight, bias)`` that need one, as a part of the graph."""
    x, weight, bias = inputs
    y = _plain_formula(x, weight, bias, eps)
    chosen = [index for index, _ in enumerate(inputs) if needed[index]]
    found = torch.autograd.grad(y, [inputs[index] for index in chosen], grad, create_graph=True)
    grads: list[Tensor | None] = [None] * len(inputs)
    for index, value in zip(chosen, found, strict=True):
        grads[index] = value
    return grads


def _plain_formula(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Compute synchronized batch norm by operations that can be differentiated any number of times."""
    shape = _per_channel(x)
    others = [axis for axis in range(x.ndim) if axis != 1]
    wide = x if x.dtype == torch.float64 else x.float()
    count = sum_over_processes(wide.new_full((), x.numel() // x.shape[1]))
    mean = sum_over_processes(wide.sum(others)) / count
    centered = wide - mean.view(shape)
    var = sum_over_processes(centered.square().sum(others)) / count
    y = centered * (var + eps).rsqrt().view(shape)
    if weight is not None:
        y = y * weight.view(shape)
    if bias is not None:
        y = y + bias.view(shape)
    result: Tensor = y.to(x.dtype)
    return result


def _per_channel(x: Tensor) -> list[int]:
    """Return the shape in which a value of each channel meets a map: ``[1, C, 1, ...]``."""
    shape = [1] * x.ndim
    shape[1] = x.shape[1]
    return shape


def _like(x: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Return ``x`` in the precision of ``other``; None where one of them is."""
    if x is None or other is None:
        return None
    return x.to(other.dtype)


class _Synchronized(TorchFunctionMode):
    """Replace ``F.batch_norm`` by :func:`sync_batch_norm` inside a ``with`` block."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm:
            func = sync_batch_norm
        return func(*args, **(kwargs or {}))


@cache
def _synchronized(plain: type[nn.Module]) -> type[nn.Module]:
    """Derive the class of batch norms that share their statistics while they train."""

    def run(self: nn.Module, x: Tensor) -> Any:
        with _Synchronized():
            return plain.forward(self, x)

    def forward(self: nn.Module, x: Tensor) -> Any:
        if not self.training or not in_process_group():
            return plain.forward(self, x)
        if torch.compiler.is_compiling():
            # A compiled graph ends before each exchange and another begins after it. As a decorator
            # this would import the compiler.
            return torch.compiler.disable(run)(self, x)  # type: ignore[no-untyped-call]
        return run(self, x)

    return type(f"Sync{plain.__name__}", (plain,), {"forward": forward, _PLAIN: plain})
