"""Timed warm-up: a few steps in a temporary folder, for the seconds of a step on this machine."""

import csv
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist

from densekd.builders.build import Built, build
from densekd.data.contract import subset
from densekd.distill.sync_batchnorm import synchronize_batch_norms
from densekd.errors import RecipeError
from densekd.kernels import using
from densekd.recipe import Recipe
from densekd.run.fit import fit
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch, count_devices
from densekd.terminal import Terminal

# The first step is slower than all others, and is not counted.
_STEPS = 4
# The median of a few more decides how long a training is.
_TIMED_STEPS = 12
# Trainings that are compared take their turns, each so many steps a turn.
_ROUNDS = 8
_STEPS_OF_A_TURN = 6


def seconds_per_step(recipe: Recipe, launch: Launch) -> float:
    """Measure the seconds of an optimizer step; what is trained for it is thrown away.

    Args:
        recipe: with a number of steps, which the schedule needs; without a teacher's cache.
        launch: one of its processes is tried, with its share of a batch.
    """
    processes = _processes(launch)
    share = share_of_one(recipe, processes)
    built = build(share)
    with using(recipe.kernels), as_one_of(processes, built):
        return try_steps(share, built, _TIMED_STEPS, launch.accelerator)[1]


def seconds_in_turns(recipes: Sequence[Recipe], launch: Launch, count: int | None = None) -> list[list[float]]:
    """Measure the seconds of a step of several trainings in turns, so that a slow moment hits all of them.

    Args:
        recipes: as for :func:`seconds_per_step`, with one batch size and synchronization of batch norms.
        launch: as there.
        count: rounds; None: eight.

    Returns:
        Of each round the median of each training, in the order of the recipes.
    """
    processes = _processes(launch)
    shares = [share_of_one(recipe, processes) for recipe in recipes]
    builts = [build(share) for share in shares]
    rounds: list[list[float]] = []
    with using(recipes[0].kernels), as_one_of(processes, *builts):
        for number in range(_ROUNDS if count is None else count):
            order = list(range(len(recipes)))
            # Whatever grows or falls steadily, such as a clock that gets hot, hits both alike: there and back.
            if number % 2:
                order.reverse()
            found = [0.0] * len(recipes)
            for index in order:
                found[index] = try_steps(shares[index], builts[index], _STEPS_OF_A_TURN, launch.accelerator)[1]
            rounds.append(found)
    return rounds


def _processes(launch: Launch) -> int:
    """Return how many processes will share a batch."""
    processes = count_devices(launch.devices) if launch.devices != "-1" else max(1, torch.cuda.device_count())
    if launch.accelerator == "cpu" and launch.devices == "auto":
        processes = 1
    return processes * launch.nodes


def share_of_one(recipe: Recipe, processes: int) -> Recipe:
    """Return the recipe with what one of several processes gets of a batch.

    Raises:
        RecipeError: a batch that does not divide.
    """
    batch = recipe.data.batch_size
    if batch % processes:
        raise RecipeError(f"data.batch_size: a batch of {batch} does not divide among {processes} processes.")
    data = recipe.data.model_copy(update={"batch_size": batch // processes})
    return recipe.model_copy(update={"data": data})


@contextmanager
def as_one_of(processes: int, *builts: Built) -> Iterator[None]:
    """Join a process group of one that stands for several: batch norms exchange what they would.

    So a single image for each process is no error where batch norms are synchronized.
    """
    if processes == 1 or builts[0].distiller.sync_batchnorm == "off":
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        for built in builts:
            synchronize_batch_norms(built.distiller.student, built.distiller.terms)
        yield
    finally:
        dist.destroy_process_group()


class Tried(NamedTuple):
    """What a few steps show.

    Args:
        losses: of the first step, for people.
        seconds: of a step, the median.
        waited: of these, the median that was waited for data.
    """

    losses: str
    seconds: float
    waited: float


def try_steps(recipe: Recipe, built: Built, steps: int = _STEPS, accelerator: str = "auto") -> Tried:
    """Train a few steps in a temporary folder; return the first losses and the median seconds of a step.

    Args:
        recipe: with what one process gets of a batch.
        built: from the recipe; its models are trained.
        steps: how many; the first one is not timed.
        accelerator: see :class:`Launch`.
    """
    training = recipe.training.model_copy(update={"steps": steps, "log_every": 1, "validate_every": 0})
    short = recipe.model_copy(update={"training": training})
    little = replace(built, validation=subset(built.validation, 2))
    with tempfile.TemporaryDirectory() as folder:
        fit(short, little, RunFolder(Path(folder)), Launch(accelerator, devices="1"), Terminal(quiet=True))
        with (Path(folder) / "metrics.csv").open(newline="", encoding="utf-8") as handle:
            # The row of the validation has no time of a step.
            rows = [row for row in csv.DictReader(handle) if row["seconds_per_step"]]
    first, *later = rows
    losses = [f"{name} {value}" for name, value in first.items() if "/" in name and value]
    seconds = [float(row["seconds_per_step"]) for row in later]
    waited = [each * float(row["data_wait"]) for each, row in zip(seconds, later, strict=True)]
    return Tried("  ".join(losses), statistics.median(seconds), statistics.median(waited))
