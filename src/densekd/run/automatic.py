"""What a recipe leaves to the machine: precision and loading processes, where it says ``auto``."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from densekd.errors import UserError, see
from densekd.hardware import cpu_has_bf16, forks, usable_cores
from densekd.memory import free_memory, local_processes
from densekd.recipe import Precision, Recipe, load_recipe
from densekd.run.devices import training_kind
from densekd.run.folder import Existing, RunFolder, begun
from densekd.run.launch import Launch

# NVIDIA GPUs multiply in bfloat16 from Ampere on, in float16 from Volta on.
_AMPERE, _VOLTA = (8, 0), (7, 0)
# A training that reads fewer images is over before loading processes are worth their start.
_FEW_IMAGES = 1000
# Beside a GPU the host has one core for the step itself, and more processes than this seldom load faster.
_MOST_WORKERS = 8
# On a processor the step keeps all cores busy; only a machine of many has some to spare.
_CORES_OF_A_WORKER, _MOST_WORKERS_ON_CPU = 8, 4
# Bytes that a loading process takes beside the images that it keeps, twice over.
_BYTES_OF_A_WORKER = 1_000_000_000
# Where fp16 with a gradient scaler runs.
_SCALED = ("cuda", "cpu")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Choice(Generic[Value]):
    """What was chosen, and why.

    Args:
        value: of the recipe's key.
        reason: for people, without a full stop.
    """

    value: Value
    reason: str


def choose_precision(launch: Launch, run: RunFolder | None = None, existing: Existing = "refuse") -> Choice[Precision]:
    """Choose the precision of a training: what its run began with, or what the device computes fast.

    Args:
        launch: where it runs.
        run: its folder.
        existing: a resumed training goes on with the precision of its first start, on any machine.
    """
    place = begun(run) if run is not None and existing == "resume" else None
    if place is not None:
        known = load_recipe(place.recipe).training.precision
        # A run of this version has what was chosen.
        if known != "auto":
            return Choice(known, "as this run began")
    kind = training_kind(launch)
    if kind == "cuda":
        return _of_gpus()
    if kind == "cpu" and cpu_has_bf16():
        return Choice("bf16", "auto: this processor multiplies in it")
    where = {"cpu": "this processor does not multiply in bf16", "mps": "Apple's GPU"}.get(kind, kind)
    return Choice("32", f"auto: {where}")


def _of_gpus() -> Choice[Precision]:
    """Choose for the oldest GPU of this machine: all processes compute alike."""
    capabilities = [torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())]
    oldest = min(capabilities)
    card = f"a GPU of compute capability {oldest[0]}.{oldest[1]}"
    if oldest >= _AMPERE:
        return Choice("bf16", f"auto: {card}")
    if oldest >= _VOLTA:
        return Choice("fp16", f"auto: {card} has no bf16; gradients are scaled")
    return Choice("32", f"auto: {card} is not faster in less")


def require_precision(precision: str, launch: Launch) -> None:
    """Check that a training can run in a precision.

    Raises:
        UserError: fp16 where its gradient scaler was never tried.
    """
    kind = training_kind(launch)
    if precision == "fp16" and kind not in _SCALED:
        raise UserError(
            f"training.precision fp16 scales gradients, which runs on NVIDIA GPUs and processors and not on {kind}; "
            "write training.precision: bf16 or 32."
        )


def precision_remarks(precision: str, launch: Launch) -> tuple[str, ...]:
    """Return what looks wrong: a precision that costs this machine time instead of saving it."""
    if precision != "bf16" or training_kind(launch) != "cpu" or cpu_has_bf16():
        return ()
    return (
        "training.precision is bf16, which this processor does not multiply in: a step takes longer than in float32, "
        f"up to several times as long. training.precision=auto takes what is fast here. {see('slow')}",
    )


def choose_workers(images: int, launch: Launch) -> Choice[int]:
    """Choose how many processes load the data of each process of a training; results do not depend on it.

    Args:
        images: that one process reads in the whole training.
        launch: where it runs.
    """
    if images < _FEW_IMAGES:
        return Choice(0, f"auto: a training of {images} images is short")
    if not forks():
        return Choice(0, "auto: this system starts processes slowly; data.workers chooses a number")
    here = local_processes()
    cores = usable_cores() // here
    said = f"{usable_cores()} cores" if here == 1 else f"{usable_cores()} cores for {here} processes"
    if training_kind(launch) == "cpu":
        return Choice(min(cores // _CORES_OF_A_WORKER, _MOST_WORKERS_ON_CPU), f"auto: {said}, which the step needs")
    wanted = min(max(1, cores - 1), _MOST_WORKERS)
    room = free_memory() // here // _BYTES_OF_A_WORKER
    # A system that does not tell its memory is no reason against it.
    if free_memory() > 0 and room < wanted:
        return Choice(int(room), f"auto: {free_memory() / 1e9:.1f} GB of memory are free")
    return Choice(wanted, f"auto: {said} beside the GPU")


def decided(recipe: Recipe, launch: Launch) -> Recipe:
    """Return the recipe with what this machine decides, for a look at what a training would do."""
    if recipe.lacks_precision:
        recipe = recipe.with_precision(choose_precision(launch).value)
    require_precision(recipe.training.precision, launch)
    if recipe.lacks_workers:
        recipe = recipe.with_workers(choose_workers(recipe.images_of(local_processes()), launch).value)
    return recipe
