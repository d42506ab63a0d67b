"""The one LightningModule: a teacher looks, a student learns, terms are added up."""

from collections.abc import Mapping
from typing import Any, Protocol

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn

from densekd.distill.optimizers import CombinedOptimizer, OptimizerConfig, make_optimizer, make_schedule
from densekd.distill.taps import Taps
from densekd.distill.teacher import FrozenTeacher
from densekd.distill.terms import Context, Term, paths, teacher_paths
from densekd.kernels import Kernels, using
from densekd.teacher_cache import CachedTeacher


class Task(Protocol):
    """What the distiller asks of a task; :mod:`densekd.tasks` says what each method does."""

    def student_taps(self, student: nn.Module) -> list[str]: ...  # noqa: D102
    def images(self, batch: Any) -> Tensor: ...  # noqa: D102
    def target(self, batch: Any) -> Any: ...  # noqa: D102
    def losses(  # noqa: D102
        self, student: nn.Module, output: Any, student_features: Mapping[str, Tensor], target: Any
    ) -> dict[str, Tensor]: ...
    def metric(self) -> Any: ...  # noqa: D102
    def evaluate(self, model: nn.Module, samples: Any, metric: Any) -> None: ...  # noqa: D102


class Distiller(L.LightningModule):
    """Train ``student`` on its task and on what ``terms`` compare it with.

    Built from live objects: works in a notebook, with any two modules.

    Args:
        student: takes float RGB in [0, 1], ``[B, 3, H, W]``.
        teacher: the same, or None to train alone. It is frozen for good and absent from checkpoints. One that is
            :class:`densekd.distill.teacher.FrozenTeacher` already stays as it is;
            :class:`densekd.teacher_cache.CachedTeacher` stands in for one
            whose tensors travel with the batches.
        task: see :mod:`densekd.tasks`.
        terms: name -> term, or context that the terms after it name as a student tap.
        optimization: see :class:`densekd.distill.optimizers.OptimizerConfig`.
        kernels: ``auto``, fused kernels wherever one applies, or ``reference``, the plain formulas; holds for this
            module's steps alone.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None,
        task: Task,
        terms: Mapping[str, Term | Context],
        optimization: OptimizerConfig,
        kernels: Kernels = "auto",
    ) -> None:
        super().__init__()
        self.student: nn.Module = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.terms = nn.ModuleDict(terms)
        self.task = task
        self.optimization = optimization
        self.kernels: Kernels = kernels
        self.metric = task.metric()
        contexts = {name for name, term in terms.items() if isinstance(term, Context)}
        read = [path for term in terms.values() for path in paths(term.taps.student) if path not in contexts]
        taps = [*read, *task.student_taps(student)]
        self._taps = Taps(student, dict.fromkeys(taps))
        self.teacher: FrozenTeacher | CachedTeacher | None = None
        if isinstance(teacher, CachedTeacher):
            self.teacher = teacher
        elif teacher is not None:
            teacher = teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.teacher = (
                teacher if isinstance(teacher, FrozenTeacher) else FrozenTeacher(teacher, teacher_paths(terms))
            )
        # DDP would send all buffers at every step. The student's are few; a teacher's never change, and what losses
        # remember is equal on all processes as it is, and may be gigabytes.
        others = [name for name, _ in self.named_buffers() if not name.startswith("student.")]
        self._ddp_params_and_buffers_to_ignore = others

    def compile_student(self) -> None:
        """Run the student by ``torch.compile`` from now on, in training alone."""
        self._taps = Taps(self.student, self._taps.specs, "inductor")

    def on_fit_start(self) -> None:
        """Let what losses remember begin equal on all processes."""
        if dist.is_available() and dist.is_initialized():
            for buffer in self.terms.buffers():
                dist.broadcast(buffer, 0)

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Return the total loss and its detached summands, each already weighted."""
        with using(self.kernels):
            return self._step(batch)

    def _step(self, batch: Any) -> dict[str, Any]:
        n = self.global_step + 1
        images = self.task.images(batch).contiguous(memory_format=torch.channels_last)
        target = self.task.target(batch)
        teacher_features = self._look(batch, images)
        output, student_features = self._taps(images)
        losses = {
            f"task/{name}": v for name, v in self.task.losses(self.student, output, student_features, target).items()
        }
        for name, term in self.terms.items():
            if isinstance(term, Context):
                student_features[name] = term(student_features)
                continue
            assert isinstance(term, Term)
            weight = term.weight(n)
            losses[f"distill/{name}"] = (
                weight * term(student_features, teacher_features, target) if weight else images.new_zeros(())
            )
        total = torch.stack(list(losses.values())).sum()
        return {"loss": total, "losses": {name: value.detach() for name, value in losses.items()}}

    def _look(self, batch: Any, images: Tensor) -> dict[str, Tensor]:
        if self.teacher is None:
            return {}
        teacher_features: dict[str, Tensor] = self.teacher(
            batch["taught"] if isinstance(self.teacher, CachedTeacher) else images
        )
        return teacher_features

    def validation_step(self, samples: Any, batch_idx: int) -> None:
        """Count one batch of the validation data."""
        with using(self.kernels):
            self.task.evaluate(self.student, samples, self.metric)

    def on_validation_epoch_start(self) -> None:
        """Start counting from zero."""
        self.metric.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the validation scores over all processes."""
        self.metric.gather()
        scores = self.metric.compute()
        self.log_dict(
            {f"val/{k}": float("nan") if v is None else v for k, v in scores.items() if not isinstance(v, list)}
        )

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip each part of a joint optimizer by its own norm: a critic does not shorten the student's step."""
        for part in optimizer.parts if isinstance(optimizer, CombinedOptimizer) else [optimizer]:
            if gradient_clip_val:
                # Lightning's own door refuses fused optimizers under bf16 for the sake of fp16, which scales gradients.
                self.trainer.precision_plugin.clip_grad_by_norm(part, gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """Build the optimizer and the per-step schedule."""
        optimizer = make_optimizer(self.student, self.terms, self.optimization)
        schedule = make_schedule(optimizer, self.optimization)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
