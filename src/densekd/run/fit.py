"""The optimization by Lightning: loaders of each process, the Trainer and its callbacks."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.profilers import PassThroughProfiler
from rich.console import Console
from torch.amp.grad_scaler import GradScaler

from densekd.builders.build import Built
from densekd.data.loaders import TrainingLoader, evaluation_loader
from densekd.data.sampler import Shard, StepSampler
from densekd.data.waiting import Waiting, waiting_of
from densekd.distill.sync_batchnorm import describe_batch_norms
from densekd.errors import RecipeError, UserError
from densekd.garbage import search_as_usual
from densekd.recipe import Recipe, TrainingSpec
from densekd.run.arithmetic import arithmetic
from densekd.run.callbacks import Checkpoints, FiniteGuard, StepSeeds
from densekd.run.checkpoint_files import SealedCheckpoints, newest_checkpoint, sound_checkpoint
from densekd.run.checks import require_same_classes
from densekd.run.company import SharedLoader, current_member
from densekd.run.data_wait import DataWait
from densekd.run.devices import training_device, training_kind
from densekd.run.folder import RunFolder, is_first_process, record
from densekd.run.launch import Launch
from densekd.run.loggers import NOBODY, Observers
from densekd.run.metrics_logger import MetricsLogger
from densekd.run.processes import end_of_others, ignore_signals_of_lightning
from densekd.seal import write_document
from densekd.stopping import Interrupted, StopRequest

VALIDATION_BATCH = 8
# What Lightning calls a precision; 16-mixed brings a scaler of gradients along.
_PRECISIONS: dict[str, Any] = {"auto": "32-true", "32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_NOTHING = nullcontext()


class Loaders(L.LightningDataModule):
    """The loaders of one process, made when its rank is known.

    Args:
        recipe: batch size, steps, workers.
        built: the datasets.
        waiting: counts how long batches are awaited.
    """

    def __init__(self, recipe: Recipe, built: Built, waiting: Waiting) -> None:
        super().__init__()
        self.recipe = recipe
        self.built = built
        self.waiting = waiting

    def train_dataloader(self) -> Any:
        """Load the whole training as one pass over ``steps`` batches.

        Raises:
            RecipeError: a batch that does not divide among accumulated parts and processes.
        """
        training = self.recipe.training
        batch = self.recipe.data.batch_size
        try:
            if batch % training.accumulate:
                raise ValueError(f"a batch of {batch} does not divide into {training.accumulate} parts")
            # A batch of the recipe is over all processes and accumulated parts.
            part = batch // training.accumulate
            parts = training.length * training.accumulate
            images = len(self.built.samples)
            sampler = StepSampler(images, part, parts, training.seed, self._shard())
        except ValueError as error:
            raise RecipeError(f"data.batch_size: {error}.") from error
        loader = TrainingLoader(self.built.samples, sampler, self.recipe.data.loading_processes, self.waiting)
        member = current_member()
        return loader if member is None else SharedLoader(loader, member)

    def val_dataloader(self) -> Any:
        """Load this process's share of the validation images."""
        dataset = self.built.task.evaluation_set(self.built.validation, self.recipe.data.input_size)
        return evaluation_loader(dataset, VALIDATION_BATCH, self.recipe.data.loading_processes, self._shard())

    def _shard(self) -> Shard:
        assert self.trainer is not None
        return Shard(self.trainer.global_rank, self.trainer.world_size)


def fit(
    recipe: Recipe,
    built: Built,
    run: RunFolder,
    launch: Launch,
    console: Console,
    observers: Observers = NOBODY,
    resume: bool = True,
    accept: bool = False,
) -> L.Trainer:
    """Run Lightning from the run's last checkpoint, or from the start where there is none.

    Args:
        recipe: how long, how precise, how often.
        built: what is trained, and on what.
        run: the folder of checkpoints and ``metrics.csv``.
        launch: where to run.
        console: for the progress.
        observers: loggers and callbacks of the recipe.
        resume: go on from the run's last checkpoint. Of several processes the first deletes it where a
            training begins anew, and the others do not wait for that.
        accept: go on with classes of other names.
    """
    settings = recipe.training
    if is_first_process():
        describe_metrics(built, run)
    # On a GPU the guard reads the losses seldom, because reading waits for the device.
    guard = FiniteGuard(settings.log_every if torch.cuda.is_available() else 1)
    package = {"package": vars(built.package)}
    # Checkpoints come last, so that one holds the state of every callback after the step.
    # A training in company is told to stop with all, and counts its own seconds.
    member = current_member()
    stop = StopRequest() if member is None else member.stop
    clock = time.perf_counter if member is None else member.clock
    if member is not None and built.teacher is not None:
        member.company.share(built.teacher)
    checkpoints = Checkpoints(run.last.parent, settings.checkpoint_every, guard, package, stop)
    waiting = waiting_of(training_device(launch))
    wait = DataWait(waiting, recipe.data.loading_processes)
    metrics = MetricsLogger(run.path / "metrics.csv", settings.log_every, console, wait, clock)
    first: list[L.Callback] = [StepSeeds(settings.seed)]
    if built.quantization is not None:
        first.append(built.quantization)
    callbacks = [*first, guard, metrics, *observers.callbacks, checkpoints]
    trainer = make_trainer(settings, launch, run, observers, callbacks)
    require_shares(recipe, built, trainer.world_size)
    # A finished run keeps what is known of its training.
    if is_first_process() and not run.results.is_file():
        describe_processes(built, trainer.world_size, run, console)
    # An interrupted training goes on from its newest sound checkpoint; a finished one has no step left.
    checkpoint = find_checkpoint(run, console) if resume else None
    if checkpoint is not None:
        require_same_classes(checkpoint, built, accept)
    ignore_signals_of_lightning(trainer)
    search_as_usual()
    computed = arithmetic(settings.deterministic, training_device(launch))
    with stop.listening(), end_of_others(trainer), computed:
        trainer.fit(built.distiller, Loaders(recipe, built, waiting), ckpt_path=checkpoint, weights_only=True)
    # A signal behind the last safe point stops the rest of the work.
    if stop.number and not stop.obeyed:
        raise Interrupted("Stopped after the last step; --resume makes scores and report.", stop.number)
    return trainer


def find_checkpoint(run: RunFolder, console: Console) -> Path | None:
    """Return the checkpoint that a training goes on from, and say which ones are damaged."""
    if not is_first_process():
        # The first process has looked, and has put damaged ones aside, before it started others.
        return sound_checkpoint(run)
    found, remarks = newest_checkpoint(run)
    for remark in remarks:
        console.print(f"warning: {remark}", style="yellow", highlight=False, soft_wrap=True)
    return found


def make_trainer(
    settings: TrainingSpec,
    launch: Launch,
    run: RunFolder,
    observers: Observers,
    callbacks: list[L.Callback],
) -> L.Trainer:
    """Return Lightning's Trainer for one training.

    Raises:
        UserError: accelerator, devices and strategy that Lightning does not run together.
    """
    try:
        return _make_trainer(settings, launch, run, observers, callbacks)
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        asked = f"--accelerator {launch.accelerator} --devices {launch.devices} --strategy {launch.strategy}"
        raise UserError(f"{asked}: Lightning cannot run this: {error}") from error


def _make_trainer(
    settings: TrainingSpec,
    launch: Launch,
    run: RunFolder,
    observers: Observers,
    callbacks: list[L.Callback],
) -> L.Trainer:
    # Lightning makes bf16 of fp16 on a processor, unless it is given what scales.
    scaled = settings.precision == "fp16" and training_kind(launch) == "cpu"
    return L.Trainer(
        # Where it runs.
        accelerator=launch.accelerator,
        devices=int(launch.devices) if launch.devices.isdigit() else launch.devices,
        num_nodes=launch.nodes,
        strategy=launch.strategy,
        # One pass over as many batches as there are steps; mixed precision, gradient accumulation.
        precision=None if scaled else _PRECISIONS[settings.precision],
        max_steps=settings.length,
        max_epochs=-1,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip or None,
        # Validation is counted in optimizer steps; the loader has its own distributed sampler.
        val_check_interval=(settings.validate_every or settings.length) * settings.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        # Loggers get what the Distiller logs; files, checkpoints and progress are ours.
        logger=list(observers.loggers),
        log_every_n_steps=min(settings.log_every, settings.length),
        callbacks=callbacks,
        plugins=[SealedCheckpoints(), *_of_scheduler(), *(_scaled_on_cpu() if scaled else ())],
        enable_checkpointing=False,
        profiler=NoProfiler(),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.path,
    )


class NoProfiler(PassThroughProfiler):
    """No profiler, and no generator either for each of the fifty moments of a step that one would measure."""

    def profile(self, action_name: str) -> Any:
        """Return a context that does nothing."""
        return _NOTHING


def _scaled_on_cpu() -> list[Any]:
    """Return mixed precision in fp16 on a processor, with a scaler of gradients there."""
    return [MixedPrecision("16-mixed", "cpu", GradScaler("cpu"))]


def _of_scheduler() -> list[Any]:
    """Return Slurm's environment without Lightning's handlers of signals, which save in the middle of a step."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def require_shares(recipe: Recipe, built: Built, processes: int) -> None:
    """Check that every process gets images to learn from and to be scored on.

    Args:
        recipe: batch size and accumulated parts.
        built: the validation images.
        processes: those of all machines.

    Raises:
        RecipeError: a batch that does not divide, or fewer validation images than processes.
    """
    batch, parts = recipe.data.batch_size, recipe.training.accumulate
    if batch % parts:
        raise RecipeError(f"data.batch_size: a batch of {batch} does not divide into {parts} parts.")
    part = batch // parts
    if part % processes:
        raise RecipeError(f"data.batch_size: a batch of {part} does not divide among {processes} processes.")
    images = len(built.validation)
    # A process without images would wait for the others for ever.
    if images < processes:
        raise RecipeError(
            f"data.val ({recipe.data.val}): {images} images for {processes} processes, and each needs one; validate "
            "on more images or train by fewer processes (--devices)."
        )


def describe_processes(built: Built, processes: int, run: RunFolder, console: Console) -> None:
    """Record how many processes share a batch, and whether their batch norms are synchronized."""
    models = (built.distiller.student, built.distiller.terms)
    batch_norm = describe_batch_norms(models, processes, built.distiller.sync_batchnorm)
    record(run, {"processes": processes, "batch_norm": batch_norm})
    if processes > 1:
        console.print(f"batch norm: {batch_norm}", highlight=False)


def describe_metrics(built: Built, run: RunFolder) -> None:
    """Write ``metrics.json``: the task, and what validation columns of ``metrics.csv`` mean."""
    content = {"task": built.package.task, "metrics": built.task.metrics.to_json()}
    write_document(run.path / "metrics.json", content)
