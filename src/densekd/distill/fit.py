"""``densekd.distill``: knowledge distillation of any two modules on any loader."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn

from densekd.distill.batches import as_batch, has_target, peek
from densekd.distill.choose_task import choose_task
from densekd.distill.distiller import Distiller, OptimizerFactory
from densekd.distill.optimizers import OptimizerConfig
from densekd.distill.plans import plan_losses
from densekd.distill.wiring import ProbeBatch, wire_terms
from densekd.errors import UserError
from densekd.models import contract
from densekd.quiet import quiet_libraries
from densekd.tasks import TrainingTask

# Images of the first batch on which channels and shapes are measured.
_PROBED = 2
_TRAINER: dict[str, Any] = {
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
_LOG_EVERY = 10


class Distilled(NamedTuple):
    """Result of a distillation.

    Args:
        student: the trained student, in evaluation mode.
        history: a row for every few steps (``log_every_n_steps`` of the trainer): ``step``,
            ``loss`` and every summand by name.
        scores: of the last validation, by name; empty without validation data.
    """

    student: nn.Module
    history: list[dict[str, float]]
    scores: dict[str, float]


def distill(
    student: nn.Module,
    teacher: nn.Module | None,
    data: Iterable[Any],
    losses: Mapping[str, Any],
    *,
    steps: int,
    val: Iterable[Any] | None = None,
    task: TrainingTask | str | None = None,
    optimizer: OptimizerConfig | OptimizerFactory | None = None,
    trainer: Mapping[str, Any] | None = None,
) -> Distilled:
    """Train ``student`` on its task's own loss and on weighted distillation losses.

    Args:
        student: takes float RGB in [0, 1], ``[B, 3, H, W]``; trained in place.
        teacher: the same; frozen in place. None trains the student alone.
        data: batches, read again and again until ``steps`` are done: ``(images, labels)`` or a
            mapping with ``images`` and ``target``; images uint8 or float in [0, 1], ``[B, 3, H,
            W]``, labels ``[B, H, W]`` with 255 for void, or None. For detectors ``(images,
            targets)`` as torchvision's take them.
        losses: name of a loss (see ``densekd.losses.LOSSES``; your own ``package.module:Name``) ->
            its weight; or a :class:`Term`; or a mapping with ``weight`` and, as in a recipe,
            ``options``, ``student`` and ``teacher`` (taps), ``adapter``, ``resize_to``, and
            ``method`` where the key is another name.
        steps: optimizer steps.
        val: batches with labels, scored after the last step.
        task: the student's own loss: a task, a name of ``densekd.tasks.TASKS``, or ``none`` to
            learn from the teacher alone. None: what the student is made for; ``none`` where the
            first batch has no labels.
        optimizer: a function of the parameters, for instance ``functools.partial(torch.optim.AdamW,
            lr=1e-3)``, or :class:`densekd.distill.optimizers.OptimizerConfig`; None: AdamW,
            learning rate 1e-3 with polynomial decay.
        trainer: more arguments of ``lightning.Trainer``, for instance ``{"precision": "bf16-mixed",
            "logger": ...}``.

    Returns:
        The trained student, the history of its losses, and its validation scores.

    Raises:
        densekd.errors.UserError: a name, a tap or a shape that does not fit, no data, or a loss
            that is not finite.
    """
    _require_arguments(student, teacher, losses, steps)
    options = {**_TRAINER, "log_every_n_steps": min(_LOG_EVERY, steps), **(trainer or {})}
    callbacks = options.pop("callbacks", ())
    first, batches = peek(data)
    chosen = choose_task(task, student, first)
    probed = _probe_batch(chosen, first)
    _require_range(probed, student, teacher)
    terms = {}
    if teacher is not None:
        terms = wire_terms(plan_losses(losses), student, teacher, probed)
    history = _History()
    parts = steps * options.get("accumulate_grad_batches", 1)
    with quiet_libraries():
        # One epoch as long as the training: validation comes at its end.
        fitted = L.Trainer(**options, max_steps=steps, max_epochs=1, callbacks=[*callbacks, history])
        module = Distiller(student, teacher, chosen, terms, optimizer)
        fitted.fit(module, _Repeated(batches, parts), None if val is None else _Once(val))
    scores = {}
    for name, value in fitted.callback_metrics.items():
        if name.startswith("val/"):
            scores[name.removeprefix("val/")] = value.item()
    return Distilled(student.eval(), history.rows, scores)


def _require_arguments(student: Any, teacher: Any, losses: Mapping[str, Any], steps: Any) -> None:
    """Refuse what no training can be made of, before anything is measured.

    Raises:
        UserError: no modules, no steps, nothing that learns, or losses without a teacher.
    """
    for name, model in (("student", student), ("teacher", teacher)):
        if not isinstance(model, nn.Module | None):
            kind = type(model).__name__
            raise UserError(f"The {name} is a {kind}, not an nn.Module; densekd.load opens a path or a name.")
    if student is teacher:
        raise UserError("Student and teacher are one module, which would be trained and frozen at once.")
    if not isinstance(steps, int) or steps < 1:
        raise UserError(f"steps: an integer of at least 1, got {steps!r}.")
    if teacher is None and losses:
        raise UserError("Losses compare a student with its teacher, and there is none; give one, or no losses.")


def _require_range(batch: ProbeBatch, student: nn.Module, teacher: nn.Module | None) -> None:
    """Refuse images and labels of the first batch that no model or loss could tell from others.

    Raises:
        UserError: images that are not in [0, 1] for a model that normalizes them, or labels of
            another shape or beyond the classes.
    """
    normalizing = [model for model in (student, teacher) if model is not None and contract.convention(model)]
    low, high = batch.images.min().item(), batch.images.max().item()
    if normalizing and (low < 0 or high > 1):
        name = type(normalizing[0]).__name__
        raise UserError(
            f"Images reach from {low:.3g} to {high:.3g}, but {name} takes float in [0, 1], or uint8, and "
            "normalizes inside."
        )
    labels, count = batch.target, batch.facts.get("num_classes")
    if count is None or not isinstance(labels, Tensor):
        return
    if labels.ndim != 3 or len(labels) != len(batch.images):
        shape = list(labels.shape)
        raise UserError(f"Labels are [B, H, W] with B of the images, {len(batch.images)}; these are {shape}.")
    used = labels[labels != batch.facts["ignore_index"]]
    if used.numel() and (used.min() < 0 or used.max() >= count):
        span = f"{used.min().item():g} to {used.max().item():g}"
        raise UserError(
            f"Labels reach from {span}, but the student tells {count} classes apart: 0 to {count - 1}, and "
            f'{batch.facts["ignore_index"]} for void. Maps of numbers need task="depth".'
        )


def _probe_batch(task: TrainingTask, batch: Any) -> ProbeBatch:
    """Return a few images of a batch, on which channels and sizes are measured."""
    few = {name: values[:_PROBED] for name, values in as_batch(batch).items()}
    target = task.target(few) if has_target(few) else None
    # A student without a loss of its own is still scored as its data says.
    scored_as = getattr(task, "scored_as", task)
    facts = {}
    for name in ("num_classes", "ignore_index"):
        if hasattr(scored_as, name):
            facts[name] = getattr(scored_as, name)
    return ProbeBatch(task.images(few), target, facts)


class _Repeated:
    """Batches of a loader, again and again, as many as a training takes."""

    def __init__(self, data: Iterable[Any], count: int) -> None:
        self.data = data
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        left = self.count
        while left:
            before = left
            for batch in self.data:
                yield batch
                left -= 1
                if not left:
                    return
            if left == before:
                raise UserError(f"The data ended {left} batches too early; a generator can be read only once.")


class _Once:
    """Batches of a loader, as they are: Lightning takes a list of batches for several loaders."""

    def __init__(self, data: Iterable[Any]) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)


class _History(L.Callback):
    """Record of the losses every few steps; only then are values fetched from the device."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add a row when one is due.

        Raises:
            UserError: a loss that is not finite.
        """
        step = trainer.global_step
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        every = max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        due = step % every == 0 or step == trainer.max_steps
        if not (stepped and due):
            return
        values = torch.stack(list(outputs["losses"].values()))
        losses = dict(zip(outputs["losses"], values.tolist(), strict=True))
        for name, value in losses.items():
            if not math.isfinite(value):
                raise UserError(
                    f"The loss '{name}' is {value} at step {step}. Lower the learning rate or its weight, clip "
                    'gradients (trainer={"gradient_clip_val": 1.0}), or use full precision.'
                )
        self.rows.append({"step": step, "loss": sum(losses.values()), **losses})
