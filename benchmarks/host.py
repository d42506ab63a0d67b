"""Host work of a training step: a network that computes almost nothing, in a plain loop, bare Lightning, and ours.

``python benchmarks/host.py`` prints milliseconds of a processor for one step, medians of rounds in turn.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import torch
from rich.console import Console
from torch import nn

from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import OptimizerConfig
from densekd.distill.terms import Term
from densekd.losses import LOSSES
from densekd.recipe.sections import TrainingSpec
from densekd.run.callbacks import Checkpoints, FiniteGuard, StepSeeds
from densekd.run.fit import make_trainer
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.loggers import NOBODY
from densekd.run.metrics_logger import MetricsLogger
from densekd.stopping import StopRequest

BATCH = {"images": torch.rand(2, 3, 8, 8), "target": torch.randint(3, (2, 8, 8))}
# Steps before the clock starts.
WARM = 20


class Batches:
    """The same batch again and again.

    Args:
        count: of batches.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.count

    def __iter__(self) -> Iterator[Any]:
        """Yield them."""
        return repeat(BATCH, self.count)


class Clock(L.Callback):
    """Processor seconds between two steps of a training."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.began = self.ended = 0.0

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Read the clock before the first and the last step that count."""
        if batch_idx == WARM:
            self.began = time.process_time()
        elif batch_idx == self.last:
            self.ended = time.process_time()


class Bare(L.LightningModule):
    """The same step as a user of Lightning writes it."""

    def __init__(self, distiller: Distiller) -> None:
        super().__init__()
        self.distiller = distiller

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Return the sum of the losses."""
        return torch.stack(list(self.distiller.losses(batch, batch_idx + 1).values())).sum()

    def configure_optimizers(self) -> Any:
        """Build optimizer and schedule as the Distiller does."""
        optimizer = torch.optim.AdamW(self.distiller.student.parameters(), lr=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 - n / 1e6)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def make_distiller(steps: int) -> Distiller:
    """Build a student and a teacher of one convolution each, with CWD."""
    torch.manual_seed(0)
    term = Term(LOSSES["cwd"]())
    config = OptimizerConfig("adamw", 1e-3, steps)
    return Distiller(Network(), Network(), "segmentation", {"cwd": term}, config)


class Network(nn.Module):
    """One convolution of 1 x 1."""

    def __init__(self) -> None:
        super().__init__()
        self.taps, self.num_classes = {"logits": "head"}, 3
        self.head = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits at the size of the images."""
        logits: torch.Tensor = self.head(images)
        return logits


def plain(steps: int) -> float:
    """Time a loop of one's own."""
    bare = Bare(make_distiller(steps))
    made = bare.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    for n in range(WARM + steps):
        if n == WARM:
            began = time.process_time()
        loss = bare.training_step(BATCH, n)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return time.process_time() - began


def lightning(steps: int) -> float:
    """Time Lightning without logger, checkpoints and bars."""
    clock = Clock(WARM + steps)
    off: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = L.Trainer(accelerator="cpu", max_steps=WARM + steps + 1, callbacks=[clock], **off)
    trainer.fit(Bare(make_distiller(steps)), Batches(WARM + steps + 1))
    return clock.ended - clock.began


def ours(steps: int) -> float:
    """Time a training as ``densekd train`` runs it, but for the loading."""
    clock = Clock(WARM + steps)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.last.parent.mkdir(parents=True)
        settings = TrainingSpec(steps=WARM + steps + 1, precision="32")
        guard = FiniteGuard(1)
        stop = StopRequest()
        metrics = MetricsLogger(run.path / "metrics.csv", 10, Console(quiet=True))
        checkpoints = Checkpoints(run.last.parent, 10**9, guard, {}, stop)
        callbacks = [StepSeeds(0), guard, metrics, clock, checkpoints]
        trainer = make_trainer(settings, Launch("cpu"), run, NOBODY, callbacks)
        with stop.listening():
            trainer.fit(make_distiller(steps), Batches(WARM + steps + 1))
    return clock.ended - clock.began


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ways: dict[str, Callable[[int], float]] = {"plain loop": plain, "bare Lightning": lightning, "ours": ours}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            seconds[name].append(way(arguments.steps) / arguments.steps)
    print("| step | ms of a processor |\n|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {1000 * median(values):.2f} |")


if __name__ == "__main__":
    main()
