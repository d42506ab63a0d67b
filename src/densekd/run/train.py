"""One training from recipe to report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from densekd.atomic import write_text
from densekd.builders.build import Built, Cache, Files, build
from densekd.data.loaders import evaluation_loader, evaluation_set, training_loader
from densekd.data.sampler import Shard, StepSampler
from densekd.errors import RecipeError, UserError
from densekd.evaluation import agreement, evaluate, predictor, sample_pictures, scoring_of, subset
from densekd.evaluation.pictures import confusion_picture
from densekd.kernels import using
from densekd.models.package import load_package, save_package
from densekd.recipe import Recipe
from densekd.report import write_report
from densekd.run.callbacks import Checkpoints, FiniteGuard, StepSeeds
from densekd.run.folder import Existing, RunFolder, is_first_process, prepare_run
from densekd.run.metrics_logger import MetricsLogger
from densekd.tasks import as_float
from densekd.teacher_cache import fill, gigabytes
from densekd.titles import SEGMENTATION, titles_of

_SAMPLES = 6
_TEACHER_SAMPLE = 32
_DATA_SAMPLE = 32


@dataclass(frozen=True)
class Launch:
    """Where to run; each value reaches Lightning's Trainer as it is.

    Args:
        accelerator: ``auto``, ``cpu``, ``gpu``, ...
        devices: number, list or ``auto``.
        nodes: number of machines.
        strategy: ``auto``, ``ddp``, ``fsdp``, ...
    """

    accelerator: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    strategy: str = "auto"


class Loaders(L.LightningDataModule):
    """The loaders of one process, made when its rank is known.

    Args:
        recipe: batch size, steps, workers.
        built: the datasets.
    """

    def __init__(self, recipe: Recipe, built: Built) -> None:
        super().__init__()
        self.recipe = recipe
        self.built = built

    def train_dataloader(self) -> Any:
        """Load the whole training as one pass over ``steps`` batches."""
        training, batch = self.recipe.training, self.recipe.data.batch_size
        try:
            if batch % training.accumulate:
                raise ValueError(f"a batch of {batch} does not divide into {training.accumulate} parts")
            part = batch // training.accumulate
            parts = training.steps * training.accumulate
            sampler = StepSampler(len(self.built.samples), part, parts, training.seed, self._shard())
        except ValueError as error:
            raise RecipeError(f"data.batch_size: {error}.") from error
        return training_loader(self.built.samples, sampler, self.recipe.data.workers)

    def val_dataloader(self) -> Any:
        """Load this process's share of the validation images."""
        dataset = evaluation_set(self.built.validation, self.recipe.data.resize)
        return evaluation_loader(dataset, 8, self.recipe.data.workers, self._shard())

    def _shard(self) -> Shard:
        assert self.trainer is not None
        return Shard(self.trainer.global_rank, self.trainer.world_size)


def train(recipe: Recipe, run: RunFolder, launch: Launch, existing: Existing, console: Console) -> dict[str, Any]:
    """Train, evaluate, export and report.

    Args:
        recipe: the whole truth.
        run: the folder to fill.
        launch: where to run.
        existing: what to do with a folder in use.
        console: for people.

    Returns:
        The content of results.json.

    Raises:
        UserError: anything the user can mend; nothing that was there before is lost.
    """
    if is_first_process():
        prepare_run(run, recipe, existing)
    baseline = _baseline(recipe, run, launch, existing, console)
    built = build(recipe)
    _look_at_data(built)
    for note in getattr(built.distiller.student, "notes", ()):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    with using(recipe.kernels):
        if built.scored_teacher is not None:
            _show_teacher(built.scored_teacher, built.validation, recipe, console)
        if built.cache is not None:
            fill_cache(built.cache, console)
        fit(recipe, built, run, launch, console)
        if not is_first_process():
            return {}
        return finish(recipe, built, run, baseline, console)


def fill_cache(cache: Cache, console: Console) -> None:
    """Say how large the teacher cache is, and write what is missing of it.

    Raises:
        UserError: the disk is too small, or another process than the first finds the cache incomplete.
    """
    store, layout = cache.store, cache.store.layout
    views = cache.filling.views
    console.print(
        f"teacher cache: {len(views.training)} images x {views.count} views, {layout.entry_bytes / 1e3:.4g} kB each: "
        f"{gigabytes(layout.bytes)} in {store.folder}",
        highlight=False,
        soft_wrap=True,
    )
    if not store.missing():
        return
    if not is_first_process():
        raise UserError(f"The teacher cache {store.folder} is not complete; write it with 'densekd cache' first.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = cache.teacher.to(device)

    def look(images: Tensor) -> dict[str, Tensor]:
        return teacher(as_float(images.to(device)).contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        row = progress.add_task("the teacher looks", total=sum(len(layout.shards[k]) for k in store.missing()))
        for count in fill(store, cache.filling, look):
            progress.update(row, advance=count)


def fit(recipe: Recipe, built: Built, run: RunFolder, launch: Launch, console: Console) -> L.Trainer:
    """Run Lightning from the run's last checkpoint, or from the start where there is none."""
    settings = recipe.training
    guard = FiniteGuard(settings.log_every if torch.cuda.is_available() else 1)
    extra = {"package": vars(built.package)}
    trainer = L.Trainer(
        accelerator=launch.accelerator,
        devices=int(launch.devices) if launch.devices.isdigit() else launch.devices,
        num_nodes=launch.nodes,
        strategy=launch.strategy,
        precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
        max_steps=settings.steps,
        max_epochs=-1,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip or None,
        val_check_interval=(settings.validate_every or settings.steps) * settings.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(run.path, name="tensorboard", version=""),
        callbacks=[
            StepSeeds(settings.seed),
            guard,
            MetricsLogger(run.path / "metrics.csv", settings.log_every, console),
            Checkpoints(run.last.parent, settings.checkpoint_every, guard, extra),
        ],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.path,
    )
    resume = run.last if run.last.is_file() else None
    trainer.fit(built.distiller, Loaders(recipe, built), ckpt_path=resume, weights_only=True)
    return trainer


def finish(recipe: Recipe, built: Built, run: RunFolder, baseline: Path | None, console: Console) -> dict[str, Any]:
    """Export the student, score everybody on the whole validation split, write results, pictures and report."""
    student = built.distiller.student
    if recipe.training.export == "best" and run.best.is_file():
        state = torch.load(run.best, map_location="cpu", weights_only=True)["state_dict"]
        student.load_state_dict({k.removeprefix("student."): v for k, v in state.items() if k.startswith("student.")})
    if hasattr(student, "auxiliary"):
        student.auxiliary = None  # type: ignore[assignment]
    save_package(student, built.package, run.student)
    models: dict[str, nn.Module] = {"student": load_package(run.student).model}
    if built.scored_teacher is not None:
        models["teacher"] = built.scored_teacher
    if baseline is not None:
        models["baseline"] = load_package(baseline).model
    files, resize = built.validation, recipe.data.resize
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scoring = scoring_of(recipe.evaluation, recipe.data.workers)
    scores = {name: evaluate(model.to(device), files, resize, scoring) for name, model in models.items()}
    counts = {name: one.pop("confusion", None) for name, one in scores.items()}
    if counts["student"] is not None:
        write_text(run.path / "confusion.svg", confusion_picture(np.array(counts["student"]), files.classes))
    if scores["student"][titles_of(scores["student"]).headline] is None:
        console.print(
            "[yellow]no labels:[/] there are no scores; agreement with the teacher is all that can be measured"
        )
    if built.scored_teacher is not None:
        pair = (models["student"], built.scored_teacher)
        scores["student"] |= agreement(*pair, files, resize, scoring.inference)
        scores["teacher"]["parameters"] = built.teacher_parameters
    palette = {name: list(color) for name, color in zip(files.classes.names, files.classes.palette, strict=True)}
    results = {"split": recipe.data.val, "teacher": None, "baseline": None, **scores, "palette": palette}
    write_text(run.results, json.dumps(results, indent=1) + "\n")
    chosen = sorted({round(k * (len(files) - 1) / max(1, _SAMPLES - 1)) for k in range(_SAMPLES)})
    predictors = {name: predictor(model, files, resize, scoring.inference) for name, model in models.items()}
    sample_pictures(predictors, files, run.path / "predictions", chosen)
    report = write_report(run.path)
    console.print(f"student: {run.student}\nreport:  {report}", highlight=False, soft_wrap=True)
    return results


def _baseline(recipe: Recipe, run: RunFolder, launch: Launch, existing: Existing, console: Console) -> Path | None:
    """Return the package of the same student trained alone, after training it if the recipe asks for it."""
    if recipe.baseline is None:
        return None
    if recipe.baseline != "train":
        path = Path(recipe.baseline).expanduser()
        load_package(path)
        return path
    folder = run.baseline
    if not folder.results.is_file():
        student = recipe.student.model_copy(update={"inherit": ()})
        alone = recipe.model_copy(update={"student": student, "teacher": None, "distill": (), "baseline": None})
        console.print(f"training the student alone ({folder.path})", highlight=False, soft_wrap=True)
        train(alone, folder, launch, "resume" if existing == "resume" else "refuse", console)
    return folder.student


def _look_at_data(built: Built) -> None:
    """Read a sample of both splits, so that a broken set stops a training before its first step."""
    for files in (built.training.files, built.validation):
        samples = evaluation_set(subset(files, _DATA_SAMPLE), None)
        for index in range(len(samples)):
            samples[index]


def _show_teacher(teacher: nn.Module, files: Files, recipe: Recipe, console: Console) -> None:
    """Score the teacher on a sample before the first step, so that a broken one is seen at once."""
    sample = subset(files, _TEACHER_SAMPLE)
    scores = evaluate(teacher, sample, recipe.data.resize)
    titles = titles_of(scores)
    score = scores[titles.headline]
    if score is None:
        return
    chance = 100 / len(files.classes.names) if titles is SEGMENTATION else 1.0
    console.print(f"teacher: {titles.name} {score:.1f} % on {len(sample)} validation images", highlight=False)
    if score < chance:
        console.print(f"[yellow]warning:[/] the teacher is below chance level ({chance:.1f} %); is it the right one?")
