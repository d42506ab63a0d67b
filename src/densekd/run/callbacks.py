"""Callbacks of a training: seeds of each step, guard against NaN losses, checkpoints."""

import os
import shlex
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from densekd.data.maps import mix
from densekd.distill.distiller import Distiller
from densekd.errors import UserError, see
from densekd.metric_names import MetricName
from densekd.ops.finite import first_not_finite
from densekd.run.processes import StopAgreement
from densekd.run.replace import final_of, has_checkpoint
from densekd.stopping import Interrupted, StopRequest

# Scales of fp16 gradients begin at 65536 and are halved at each overflow; below, no scale helps.
_LEAST_SCALE = 1e-3


def resume_command(run: Path) -> str:
    """Return the command that continues a run; a baseline is continued with the run that it belongs to."""
    belongs_to = run.parent
    if run.name in ("baseline", "baseline-seconds") and (belongs_to / "recipe.yaml").is_file():
        run = belongs_to
    # A run that replaces another one has its place from its first checkpoint on.
    if has_checkpoint(run):
        run = final_of(run)
    return f"densekd train {shlex.quote(str(run))} --resume"


class StepSeeds(L.Callback):
    """Deterministic seed of every step from (seed, step, process): no generator state to save.

    Args:
        seed: the recipe's.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed the global generators, which dropout and random losses draw from."""
        seed_generators(mix(self.seed, batch_idx * trainer.world_size + trainer.global_rank), module.device)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators of the processor and of the GPUs, as ``torch.manual_seed`` does.

    That also leaves a note for every other kind of device, with a stack trace: a quarter of a millisecond.

    Args:
        seed: from 0 to 2^64 - 1.
        device: that the training runs on.
    """
    if device.type not in ("cpu", "cuda"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


class SwapRuns(L.Callback):
    """Put a run that replaces another one in its place, when its first checkpoint stands.

    Windows renames no folder with open files: there it waits for the end of the training.

    Args:
        swap: does it, if there is a checkpoint and it is not done.
    """

    def __init__(self, swap: Callable[[], None]) -> None:
        self.swap = swap
        self.waits = os.name == "nt"

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Look after each step; what cannot be done now is tried again at the end."""
        if self.waits:
            return
        try:
            self.swap()
        except OSError:
            self.waits = True


class FiniteGuard(L.Callback):
    """Stop at the first loss that is not finite, and name the term and the step.

    The step of each term's first bad value is kept on the device; the host reads it every ``every``
    steps and before a checkpoint is written, so that nothing waits in between and no checkpoint is
    written after a bad value.

    Args:
        every: steps between reads.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.names: list[str] = []
        self.first: Tensor | None = None

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note bad values on the device; read them now and then."""
        losses: dict[str, Tensor] = outputs["losses"]
        # Nothing waits for a processor: values that are all finite need no operation.
        on_cpu = all(value.device.type == "cpu" for value in losses.values())
        if self.every == 1 and on_cpu and all(isfinite(value.item()) for value in losses.values()):
            _require_scale(trainer)
            return
        values = torch.stack(list(losses.values()))
        if self.first is None:
            self.names = list(losses)
            # -1: no bad value yet.
            self.first = torch.full(values.shape, -1, dtype=torch.int64, device=values.device)
        bad = ~values.isfinite() & (self.first < 0)
        self.first = torch.where(bad, trainer.global_step, self.first)
        if trainer.global_step % self.every == 0:
            self.check(module, batch)
            _require_scale(trainer)

    def check(self, module: L.LightningModule | None = None, batch: Any = None) -> None:
        """Read whether there was a bad value.

        Args:
            module: its teacher is run once more on the batch, to tell whether it is the cause.
            batch: of this step.

        Raises:
            UserError: a loss was not finite.
        """
        if self.first is None:
            return
        found = zip(self.first.tolist(), self.names, strict=True)
        bad = [(step, name) for step, name in found if step >= 0]
        if not bad:
            return
        # Of several terms the first of the earliest step is the cause; others may have followed it.
        step, name = min(bad, key=lambda one: one[0])
        path = module.teacher_not_finite(batch) if isinstance(module, Distiller) else None
        if path is not None:
            raise UserError(
                f"The loss '{name}' is not finite at step {step}, because the teacher's '{path}' is not (NaN or "
                "infinity); the training stopped and checkpoints/last.ckpt is from before. Use precision 32 for the "
                f"teacher (teacher.precision), or another checkpoint of it. {see('nan')}"
            )
        raise UserError(
            f"The loss '{name}' is not finite at step {step}; the training stopped and checkpoints/last.ckpt is "
            "from before. Lower the learning rate or the term's weight, clip gradients (training.clip), warm the "
            f"weight up (weight.warmup), or use precision 32. {see('nan')}"
        )


def _require_scale(trainer: L.Trainer) -> None:
    """Check that gradients in fp16 still fit; a step that the scaler skips now and then is no error.

    Raises:
        UserError: they overflow however little they are scaled, so that no step is taken any more.
    """
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or scaler.get_scale() >= _LEAST_SCALE:
        return
    raise UserError(
        f"At step {trainer.global_step} the gradients overflow in fp16 although they are scaled by "
        f"{scaler.get_scale():.1g}: nothing is learned any more. Use training.precision: bf16 or 32, lower the "
        f"learning rate, or clip gradients (training.clip). {see('nan')}"
    )


class Checkpoints(L.Callback):
    """Checkpoints: ``last`` every few steps, at validation and when stopped, and ``best``.

    The one before ``last`` is kept as ``previous``.

    Args:
        folder: for the checkpoints.
        every: steps between two ``last``.
        guard: consulted before writing.
        extra: plain data that travels inside the checkpoint.
        stop: the signal that asks the training to stop, once it came.
    """

    def __init__(self, folder: Path, every: int, guard: FiniteGuard, extra: dict[str, Any], stop: StopRequest) -> None:
        self.folder = folder
        self.every = every
        self.guard = guard
        self.extra = extra
        self.best_score = float("-inf")
        self.stop = stop
        self.agreement = StopAgreement(stop)

    def state_dict(self) -> dict[str, Any]:
        """Remember the best score."""
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score."""
        self.best_score = state_dict["best_score"]

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the plain data."""
        checkpoint["densekd"] = self.extra

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Take the signals back from Lightning; several processes agree on when to stop."""
        self.stop.listen()
        self.agreement.begin()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write ``last`` when it is due; a step that validates writes after its validation."""
        # With gradient accumulation, parts of a batch are no steps.
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        every = trainer.val_check_batch
        validates = isinstance(every, int) and (batch_idx + 1) % every == 0
        if not stepped or validates:
            return
        asked = self.agreement.after_step()
        if asked or trainer.global_step % self.every == 0:
            self._save(trainer, "last")
        self._stop_if(asked, trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write ``best`` if it is, and ``last``."""
        task: Any = module.task
        headline: MetricName = task.metrics.headline
        score = trainer.callback_metrics.get(f"val/{headline.key}")
        if score is not None:
            # Against zero: the score itself, negative where lower is better.
            goodness = headline.gain(score.item(), 0.0)
            if goodness > self.best_score:
                self.best_score = goodness
                self._save(trainer, "best")
        self._save(trainer, "last")
        self._stop_if(self.agreement.now(), trainer)

    def _stop_if(self, asked: int, trainer: L.Trainer) -> None:
        """End the training in all processes at once, when its state is saved.

        Raises:
            Interrupted: a signal asked to stop.
        """
        if not asked:
            return
        self.agreement.obey()
        where = f"step {trainer.global_step} of {trainer.max_steps}"
        raise Interrupted(f"Stopped at {where}; continue with: {resume_command(self.folder.parent)}", asked)

    def _save(self, trainer: L.Trainer, name: str) -> None:
        """Write a checkpoint, unless a loss or a weight went bad.

        Raises:
            UserError: one did.
        """
        self.guard.check()
        assert trainer.lightning_module is not None
        wrong = first_not_finite(trainer.lightning_module)
        if wrong is not None:
            raise UserError(
                f"After step {trainer.global_step} the {wrong}, though the losses are finite: a gradient or an "
                f"activation overflowed. {self.folder / 'last.ckpt'} is from before. Clip gradients (training.clip) or "
                f"lower the learning rate. {see('nan')}"
            )
        # Every process takes part in gathering the state; the first one writes it.
        trainer.save_checkpoint(self.folder / f"{name}.ckpt")
