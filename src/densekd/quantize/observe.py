"""Ranges of activations: calibration before the first step, moving average over the steps, freezing."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.ops.processes import gather_over_processes
from densekd.quantize.grid import FakeQuantizer


def quantizers(model: nn.Module) -> list[FakeQuantizer]:
    """List the quantizers of activations in a model, each once."""
    return [module for module in model.modules() if isinstance(module, FakeQuantizer)]


def is_calibrated(model: nn.Module) -> bool:
    """Tell whether every quantizer of a model has a range."""
    return all(quantizer.ready for quantizer in quantizers(model))


def observe(model: nn.Module, observing: bool) -> None:
    """Let quantizers note the range of what passes, or stop them."""
    for quantizer in quantizers(model):
        quantizer.observing = observing
        quantizer.seen = None


@torch.no_grad()
def update_ranges(model: nn.Module, momentum: float) -> None:
    """Move each stored range towards that of the last step, over all processes.

    One exchange for all quantizers. A quantizer through which nothing passed stays as it is; one
    without a range takes what it saw.

    Args:
        model: with quantizers.
        momentum: share of the new range.
    """
    found = quantizers(model)
    if not found:
        return
    # [Q, 2]: low and high; empty where nothing passed.
    rows = [_seen(quantizer) for quantizer in found]
    own = torch.stack(rows)[None]
    everywhere = gather_over_processes(own)
    low, high = everywhere[..., 0].amin(0), everywhere[..., 1].amax(0)
    passed = low <= high
    for number, quantizer in enumerate(found):
        quantizer.seen = None
        if quantizer.ready:
            moved_low = quantizer.low.lerp(low[number], momentum)
            moved_high = quantizer.high.lerp(high[number], momentum)
            # Chosen on the device: the host does not wait.
            quantizer.low.copy_(torch.where(passed[number], moved_low, quantizer.low))
            quantizer.high.copy_(torch.where(passed[number], moved_high, quantizer.high))
        elif passed[number]:
            quantizer.set_range(low[number], high[number])


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Set the range of every quantizer to the mean of those of some batches.

    The model runs in training mode, as it will at the first step, and without quantization; its
    weights, the statistics of its batch norms and the random generators stay as they are.

    Args:
        model: with quantizers.
        batches: images ``[B, 3, H, W]`` in [0, 1], as the training gives them.

    Returns:
        the number of batches.

    Raises:
        UserError: no batch, or values that are not finite.
    """
    found = quantizers(model)
    observe(model, True)
    total: Tensor | None = None
    count = 0
    with _without_trace(model):
        for images in batches:
            model(images)
            ranges = torch.stack([_seen(quantizer) for quantizer in found]).double()
            total = ranges if total is None else total + ranges
            count += 1
            for quantizer in found:
                quantizer.seen = None
    observe(model, False)
    if total is None:
        raise UserError("Quantization needs some images to measure the ranges of activations, and there are none.")
    means = (total / count).float()
    for quantizer, (low, high) in zip(found, means, strict=True):
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            raise UserError(
                "Quantization: the range of an activation is not finite: the student's weights overflow, or a part "
                "of it runs in evaluation mode alone."
            )
        quantizer.set_range(low, high)
    return count


def _seen(quantizer: FakeQuantizer) -> Tensor:
    """Return low and high of what passed, an empty range where nothing did."""
    if quantizer.seen is None:
        empty = [float("inf"), float("-inf")]
        return torch.tensor(empty, device=quantizer.low.device)
    return quantizer.seen.to(quantizer.low.device)


@contextmanager
def _without_trace(model: nn.Module) -> Iterator[None]:
    """Run a model in training mode for a while, and restore its mode, buffers and the generators."""
    modes = {module: module.training for module in model.modules()}
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    device = next(model.buffers()).device
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            # train() of the root keeps what is frozen in evaluation mode.
            model.train()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for buffer, value in before:
            buffer.copy_(value)
