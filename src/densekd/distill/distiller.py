"""LightningModule of a distillation: frozen teacher, student, weighted sum of losses."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn

from densekd.distill.batches import as_batch, as_samples, has_target
from densekd.distill.choose_task import choose_task
from densekd.distill.optimizers import (
    CombinedOptimizer,
    OptimizerConfig,
    OwnOptimizer,
    make_optimizer,
    make_schedule,
    require_factory,
)
from densekd.distill.sync_batchnorm import (
    SyncBatchNorm,
    explained_single_values,
    restore_batch_norms,
    synchronize_batch_norms,
)
from densekd.distill.taps import Compile, Taps
from densekd.distill.teacher import FrozenTeacher
from densekd.distill.terms import Context, Term, paths, teacher_heads, teacher_paths
from densekd.distill.through import require_teacher
from densekd.errors import UserError
from densekd.kernels import Kernels, using
from densekd.ops.finite import NotFiniteError, first_not_finite, module_not_finite
from densekd.ops.processes import in_process_group, rank_and_world_size
from densekd.tasks import NoTask, TrainingTask
from densekd.teacher_cache import CachedTeacher

# Parameters -> torch optimizer, or whatever else Lightning's configure_optimizers may return.
OptimizerFactory = Callable[[list[nn.Parameter]], Any]
_Step = Callable[[Mapping[str, Any], Collection[str]], tuple[dict[str, Tensor], dict[str, Tensor]]]


class Distiller(L.LightningModule):
    """Knowledge distillation of any two modules, under any Lightning Trainer.

    Built from live objects, it trains under any Lightning Trainer, without a recipe. Every loss is
    logged under its name (``loss``, ``task/...``, ``distill/...``, ``lr``; after validation
    ``val/...``) every ``log_every_n_steps`` of the Trainer, and at every step where a progress bar
    is shown.

    A batch is a mapping with ``images`` and ``target`` (labels) or ``boxes``, ``labels``,
    ``sizes``; or a tuple ``(images, labels)``; or images alone. Images are uint8, or float in [0,
    1], ``[B, 3, H, W]`` RGB, and are never changed.

    Args:
        student: takes float RGB in [0, 1], ``[B, 3, H, W]``.
        teacher: the same, or None to train alone. It is frozen for good and absent from
            checkpoints. One that is :class:`densekd.distill.teacher.FrozenTeacher` already stays as
            it is; :class:`densekd.teacher_cache.CachedTeacher` stands in for one whose tensors
            travel with the batches.
        task: the student's own loss and its scores: a task or a name of ``densekd.tasks.TASKS``;
            None: what the student is made for, see :func:`densekd.distill.choose_task.choose_task`.
        terms: name -> term, or context that the terms after it name as a student tap.
        optimizer: a function of the parameters, for instance ``functools.partial(torch.optim.AdamW,
            lr=1e-3)``; or :class:`densekd.distill.optimizers.OptimizerConfig`; None: AdamW with a
            polynomial decay.
        kernels: ``auto``: losses and layers are computed by fused kernels wherever one applies;
            ``reference``: by the plain formulas.
        sync_batchnorm: ``auto`` and ``on``: in a training by several processes the batch norms of
            the student, the adapters and the losses share their statistics; ``off``: each process
            has its own.

    Raises:
        UserError: nothing to learn from, or a task that cannot be told from the student.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None = None,
        task: TrainingTask | str | None = None,
        terms: Mapping[str, Term | Context] | None = None,
        optimizer: OptimizerConfig | OptimizerFactory | None = None,
        kernels: Kernels = "auto",
        sync_batchnorm: SyncBatchNorm = "auto",
    ) -> None:
        super().__init__()
        terms = terms or {}
        require_factory(optimizer)
        task = choose_task(task, student)
        self.student: nn.Module = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.terms = nn.ModuleDict(terms)
        self.task = task
        self.optimizer = optimizer
        self.kernels = kernels
        self.sync_batchnorm = sync_batchnorm
        self.metric = task.metric()
        if isinstance(task, NoTask) and not terms:
            raise UserError("There is nothing to learn: no task of the student's own, and no terms.")
        self._taps = Taps(student, _student_paths(terms, task.student_taps(student)))
        self._compiled_step: _Step | None = None
        # The step and values that loggers take when it ends.
        self._for_loggers: tuple[int, dict[str, Tensor]] = (0, {})
        self.teacher = _frozen(teacher, terms)
        require_teacher(teacher_heads(terms), self.teacher)
        if self.teacher is None and teacher_paths(terms):
            raise UserError("Terms compare a student with its teacher, and there is none; give one, or no terms.")
        # DDP would send all buffers at every step. The student's are few; a teacher's never change,
        # and what losses remember is equal on all processes as it is, and may be gigabytes.
        others = [name for name, _ in self.named_buffers() if not name.startswith("student.")]
        self._ddp_params_and_buffers_to_ignore = others

    def compile_student(self, compile: Compile = "inductor") -> None:
        """Run the student by ``torch.compile`` from now on, in training alone.

        Args:
            compile: see :class:`densekd.distill.taps.Taps`. CUDA graphs do not go with accumulated
                gradients, which they overwrite.
        """
        self._taps = Taps(self.student, self._taps.specs, compile)

    def on_fit_start(self) -> None:
        """Join the processes: what losses remember begins equal, batch norms are synchronized."""
        if not in_process_group():
            return
        for buffer in self.terms.buffers():
            dist.broadcast(buffer, 0)
        if self.sync_batchnorm != "off" and rank_and_world_size()[1] > 1:
            synchronize_batch_norms(self.student, self.terms)

    def on_fit_end(self) -> None:
        """Leave plain batch norms behind."""
        restore_batch_norms(self.student, self.terms)

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Return the total loss and its detached summands, each already weighted; log them."""
        losses = self.losses(batch, self.global_step + 1)
        total = torch.stack(list(losses.values())).sum()
        detached = {name: value.detach() for name, value in losses.items()}
        self._log_losses({"loss": total.detach(), **detached})
        return {"loss": total, "losses": detached}

    def losses(self, batch: Any, n: int) -> dict[str, Tensor]:
        """Return the weighted losses of a batch: ``task/<name>`` and ``distill/<name>``.

        Args:
            batch: see the class.
            n: the optimizer step, counted from 1, for the schedules of weights.
        """
        weights = {name: term.weight(n) for name, term in self.terms.items() if isinstance(term, Term)}
        # A term whose weight is zero is not computed.
        due = [name for name, weight in weights.items() if weight]
        # A backward pass needs no choice: autograd knows which implementation ran.
        with using(self.kernels), explained_single_values():
            losses, terms = self._step(as_batch(batch), due)
        for name, weight in weights.items():
            losses[f"distill/{name}"] = weight * terms[name] if weight else terms[name]
        return losses

    def compile_step(self, backend: str = "inductor", fullgraph: bool = False) -> None:
        """Run the forward pass of a step by ``torch.compile``: both models, the task's losses, all terms.

        Weights are applied outside, so that a schedule compiles nothing anew. Shapes are part of a
        graph: a detector's is compiled anew where an image has no box, or one.

        Args:
            backend: see ``torch.compile``.
            fullgraph: refuse what cannot be one graph: synchronized batch norms, gradient
                penalties, losses whose Python depends on values.
        """
        self._compiled_step = torch.compile(self._unweighted, backend=backend, fullgraph=fullgraph)

    def _step(self, batch: Mapping[str, Any], due: Collection[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return what :meth:`_unweighted` does, compiled where that is asked."""
        if self._compiled_step is None:
            return self._unweighted(batch, due)
        # Torch imports its compiler here, which takes seconds.
        from torch._dynamo import config

        with ExitStack() as stack:
            # How many positions of a detector have a box is a size that depends on values.
            stack.enter_context(config.patch(capture_dynamic_output_shape_ops=True))
            # The registration of a hook is not traced.
            stack.enter_context(self._taps.hooks())
            if isinstance(self.teacher, FrozenTeacher):
                stack.enter_context(self.teacher.hooks())
            return self._compiled_step(batch, due)

    def _unweighted(
        self, batch: Mapping[str, Any], due: Collection[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the task's losses as ``task/<name>``, and those of the terms by name: zero where they are not due."""
        images = self.task.images(batch).contiguous(memory_format=torch.channels_last)
        target = self.task.target(batch) if has_target(batch) else None
        # Forward of the teacher, without gradient, as far as its deepest tap.
        teacher_features = self._teacher_features(batch, images)
        # Forward of the student; hooks collect its taps on the way.
        output, student_features = self._taps(images)
        # The student's own losses, then one summand for each term.
        losses: dict[str, Tensor] = {}
        for name, value in self.task.losses(self.student, output, student_features, target).items():
            losses[f"task/{name}"] = value
        terms: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            if isinstance(term, Context):
                student_features[name] = term(student_features)
            elif name in due:
                terms[name] = term(student_features, teacher_features, target)
            else:
                terms[name] = images.new_zeros(())
        return losses, terms

    def validation_step(self, samples: Any, batch_idx: int) -> None:
        """Count one batch of the validation data."""
        # Where boxes are scored, every image of every process needs a number of its own.
        first = (batch_idx * self.trainer.world_size + self.global_rank) << 20
        samples = as_samples(samples, first)
        with using(self.kernels):
            try:
                self.task.evaluate(self.student, samples, self.metric)
            except NotFiniteError as error:
                raise self._explained(error, samples) from error

    def _explained(self, error: NotFiniteError, samples: Any) -> NotFiniteError:
        """Say which module of the student is not finite in evaluation."""
        evaluate = partial(self.task.evaluate, self.student, samples, self.metric)
        cause = first_not_finite(self.student)
        module = module_not_finite(self.student, evaluate)
        first = f" The first module with such an output is {module}." if module else ""
        because = f" Its {cause}." if cause else ""
        return NotFiniteError(
            f"The student, in evaluation after step {self.global_step}: {error}{because}{first} In training it may be "
            "finite all the same: batch norms use other statistics there. What was written before is kept. Lower the "
            "learning rate or the weight decay, clip gradients, or use precision 32."
        )

    def teacher_not_finite(self, batch: Any) -> str | None:
        """Name a teacher's output that is not finite for the images of a batch; None where all are."""
        if self.teacher is None:
            return None
        batch = as_batch(batch)
        images = self.task.images(batch).contiguous(memory_format=torch.channels_last)
        for path, feature in self._teacher_features(batch, images).items():
            if not bool(feature.isfinite().all()):
                return path
        return None

    def on_validation_epoch_start(self) -> None:
        """Start counting from zero."""
        self.metric.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the validation scores over all processes."""
        self.metric.gather()
        for name, score in self.metric.compute().items():
            # Scores of single classes are lists; they belong to reports.
            if not isinstance(score, list):
                self.log(f"val/{name}", float("nan") if score is None else score)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients of each part of a combined optimizer by its own norm.

        A discriminator's gradient does not shorten the student's step. In fp16 it is the gradient itself
        that is clipped, not what the scaler made of it.
        """
        if not gradient_clip_val:
            return
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        # Fused optimizers divide by the scale in their step, which would be too late; others were unscaled before.
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)
        parts = optimizer.parts if isinstance(optimizer, CombinedOptimizer) else [optimizer]
        for part in parts:
            # Lightning's own door refuses fused optimizers under bf16 for the sake of fp16, which
            # scales gradients.
            self.trainer.precision_plugin.clip_grad_by_norm(part, gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """Build the optimizer and the per-step schedule of the learning rate."""
        if self.optimizer is not None and not isinstance(self.optimizer, OptimizerConfig):
            return self.optimizer(self._trainable())
        settings = self.optimizer or default_optimizer(self.trainer.estimated_stepping_batches)
        optimizer = make_optimizer(self.student, self.terms, settings)
        schedule = make_schedule(optimizer, settings)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _teacher_features(self, batch: Mapping[str, Any], images: Tensor) -> dict[str, Tensor]:
        if self.teacher is None:
            return {}
        seen = batch["teacher_features"] if isinstance(self.teacher, CachedTeacher) else images
        features: dict[str, Tensor] = self.teacher(seen)
        return features

    def _log_losses(self, losses: Mapping[str, Tensor]) -> None:
        """Log detached values when loggers take them.

        Nothing waits for the device, unless a progress bar is shown.
        """
        # A step by hand, outside a training, has nowhere to log to.
        if self._trainer is None:
            return
        trainer = self.trainer
        step = self.global_step + 1
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        due = step == trainer.max_steps or (every > 0 and step % every == 0)
        shown = trainer.progress_bar_callback is not None
        # Steps that nobody looks at are spared all of it.
        if not (due or shown):
            return
        values = torch.stack(list(losses.values()))
        if due and trainer.world_size > 1:
            # Loggers get means over all processes.
            values = trainer.strategy.reduce(values, reduce_op="mean")
        metrics = dict(zip(losses, values, strict=True))
        # On the CPU: a number brought to the device would wait for it.
        metrics["lr"] = torch.tensor(trainer.optimizers[0].param_groups[0]["lr"])
        # A bar of Lightning's takes what is logged by its own bookkeeping, and loggers do as well then.
        if shown:
            self.log_dict(metrics, prog_bar=True)
            return
        trainer.callback_metrics.update(metrics)
        trainer.logged_metrics.update(metrics)
        if every > 0 and step % every == 0:
            self._for_loggers = (step, metrics)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Give loggers the values of a step when it is done, as Lightning would."""
        step, metrics = self._for_loggers
        # Of accumulated parts the last one ends the step.
        if not metrics or self.global_step < step:
            return
        self._for_loggers = (0, {})
        if not self.trainer.loggers:
            return
        scalars = {name: value.item() for name, value in metrics.items()}
        for logger in self.trainer.loggers:
            # Lightning's steps count from 0, and it adds the epoch.
            logger.log_metrics({**scalars, "epoch": self.trainer.current_epoch}, step=step - 1)
            logger.save()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, at once where Lightning notes its hook: forty times a step, and it is no module."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def _trainable(self) -> list[nn.Parameter]:
        """Return what a user's optimizer moves: the student, adapters, and losses' own.

        Raises:
            UserError: a loss that wants settings of its own, as a discriminator does.
        """
        for name, module in self.terms.named_modules():
            if isinstance(module, OwnOptimizer):
                raise UserError(
                    f"'{name}' learns by optimizer settings of its own, so that the student's must be an "
                    "OptimizerConfig and not a function."
                )
        parameters = [*self.student.parameters(), *self.terms.parameters()]
        return [parameter for parameter in parameters if parameter.requires_grad]


def default_optimizer(steps: float) -> OptimizerConfig:
    """Return AdamW at 1e-3 with polynomial decay over ``steps``; constant without an end."""
    if steps == float("inf") or steps < 1:
        return OptimizerConfig("adamw", 1e-3, steps=1, weight_decay=0.01, power=0.0)
    return OptimizerConfig("adamw", 1e-3, steps=int(steps), weight_decay=0.01)


def _student_paths(terms: Mapping[str, Term | Context], task_taps: Sequence[str]) -> list[str]:
    """Return the paths read in the student, each once; the name of a context is none of them."""
    contexts = {name for name, term in terms.items() if isinstance(term, Context)}
    read: list[str] = []
    for term in terms.values():
        read += [path for path in paths(term.taps.student) if path not in contexts]
    return list(dict.fromkeys([*read, *task_taps]))


def _frozen(teacher: nn.Module | None, terms: Mapping[str, Term | Context]) -> FrozenTeacher | CachedTeacher | None:
    """Freeze a teacher that is not frozen or cached yet."""
    if teacher is None or isinstance(teacher, CachedTeacher):
        return teacher
    teacher = teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(teacher, FrozenTeacher):
        return teacher
    return FrozenTeacher(teacher, teacher_paths(terms))
