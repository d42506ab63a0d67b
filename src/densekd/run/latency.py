"""Latency of student, baseline and teacher on the machine that trained, for results and report."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from densekd.builders.build import Built
from densekd.models import contract
from densekd.recipe import Recipe
from densekd.run.environment import processor
from densekd.run.picture_size import default_size

# Rounds in which every model takes its turn, and the seconds after which no other one begins.
_ROUNDS = 10
_SECONDS = 2.0


def latency_of(
    recipe: Recipe, built: Built, models: Mapping[str, nn.Module], console: Console
) -> dict[str, Any] | None:
    """Measure models in eager PyTorch on one picture of noise, of the size that the recipe evaluates at.

    A measurement that fails is said and loses nothing else.

    Args:
        recipe: for the size.
        built: for the validation images, where the recipe names no size.
        models: by their roles, on the device that they are measured on.
        console: for people.

    Returns:
        What ``results.json`` holds under ``latency``; None where nothing could be measured.
    """
    try:
        evaluation = recipe.evaluation.options
        size = default_size(built.package.task, evaluation, recipe.data.input_size, built.validation)
        return measure(models, size)
    except Exception as error:  # networks of others raise anything, memory may be short
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        line = f"warning: the latency on this machine was not measured: {reason}"
        console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
        return None


@torch.no_grad()
def measure(models: Mapping[str, nn.Module], size: tuple[int, int], seconds: float = _SECONDS) -> dict[str, Any]:
    """Time models in turns: one warm-up of each, then rounds until ten are done or the time is up.

    Args:
        models: by their roles, all on one device.
        size: height and width of the picture.
        seconds: after which no other round begins; the first one is always finished.

    Returns:
        Size, device, threads, number of runs, and of each role the median and the 95th percentile in
        milliseconds.
    """
    device = next(next(iter(models.values())).parameters()).device
    images: dict[str, Tensor] = {}
    times: dict[str, list[float]] = {}
    for role, model in models.items():
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(1, contract.bands(model), *size, generator=generator)
        images[role], times[role] = noise.to(device), []
        # The first run chooses algorithms and fills caches.
        _timed(model.eval(), images[role])
    begin, rounds = time.perf_counter(), 0
    while rounds < _ROUNDS and (rounds == 0 or time.perf_counter() - begin < seconds):
        # A slow moment of the machine hits all of them.
        for role, model in models.items():
            times[role].append(_timed(model, images[role]))
        rounds += 1
    return {
        "size": list(size),
        "batch": 1,
        "device": device.type,
        "hardware": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "runs": rounds,
        "milliseconds": {role: round(1000 * statistics.median(found), 4) for role, found in times.items()},
        "p95": {role: round(1000 * float(np.percentile(found, 95)), 4) for role, found in times.items()},
    }


def _timed(model: nn.Module, images: Tensor) -> float:
    """Return the seconds of one run."""
    begin = time.perf_counter()
    model(images)
    # A GPU is done later than the call.
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - begin
