"""Callbacks of a training: seeds of each step, guard against NaN losses, checkpoints."""

import shlex
import signal
import threading
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from densekd.atomic import atomic
from densekd.data.maps import mix
from densekd.distill.optimizers import all_finite
from densekd.errors import UserError
from densekd.metric_names import MetricName


class Interrupted(UserError):
    """The training was asked to stop and saved its state."""

    code = 130


def resume_command(run: Path) -> str:
    """Return the command that continues a run; a baseline is continued with the run that it belongs to."""
    belongs_to = run.parent
    if run.name == "baseline" and (belongs_to / "recipe.yaml").is_file():
        run = belongs_to
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
        torch.manual_seed(mix(self.seed, batch_idx * trainer.world_size + trainer.global_rank))


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
        values = torch.stack(list(outputs["losses"].values()))
        if self.first is None:
            self.names = list(outputs["losses"])
            # -1: no bad value yet.
            self.first = torch.full(values.shape, -1, dtype=torch.int64, device=values.device)
        bad = ~values.isfinite() & (self.first < 0)
        self.first = torch.where(bad, trainer.global_step, self.first)
        if trainer.global_step % self.every == 0:
            self.check()

    def check(self) -> None:
        """Read whether there was a bad value.

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
        raise UserError(
            f"The loss '{name}' is not finite at step {step}; the training stopped and checkpoints/last.ckpt is "
            "from before. Lower the learning rate or the term's weight, clip gradients (training.clip), warm the "
            "weight up (weight.warmup), or use precision 32."
        )


class Checkpoints(L.Callback):
    """Atomic checkpoints: ``last`` every few steps, at validation and when stopped, and ``best``.

    Args:
        folder: for ``last.ckpt`` and ``best.ckpt``.
        every: steps between two ``last``.
        guard: consulted before writing.
        extra: plain data that travels inside the checkpoint.
    """

    def __init__(self, folder: Path, every: int, guard: FiniteGuard, extra: dict[str, Any]) -> None:
        self.folder = folder
        self.every = every
        self.guard = guard
        self.extra = extra
        self.best_score = float("-inf")
        self.stop_signal: int | None = None
        self._previous: dict[int, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """Remember the best score."""
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score."""
        self.best_score = state_dict["best_score"]

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the plain data."""
        checkpoint["densekd"] = self.extra

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Turn the first Ctrl-C or termination into a stop at the end of the step."""
        # Python lets the main thread alone handle signals; a training in another one is stopped by
        # its owner.
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._ask_to_stop)

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Give the signals back."""
        self._restore_signals()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore_signals()

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
        if self.stop_signal is not None or trainer.global_step % self.every == 0:
            self._save(trainer, "last")
        self._stop_if_asked(trainer)

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
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: L.Trainer) -> None:
        if self.stop_signal is not None:
            where = f"step {trainer.global_step} of {trainer.max_steps}"
            raise Interrupted(f"Stopped at {where}; continue with: {resume_command(self.folder.parent)}")

    def _save(self, trainer: L.Trainer, name: str) -> None:
        """Write a checkpoint, unless a loss or a weight went bad.

        Raises:
            UserError: one did.
        """
        self.guard.check()
        assert trainer.lightning_module is not None
        if not all_finite(trainer.lightning_module):
            raise UserError(
                f"A weight is not finite after step {trainer.global_step}, though the losses are: a gradient "
                f"overflowed. {self.folder / 'last.ckpt'} is from before. Clip gradients (training.clip) or lower the "
                "learning rate."
            )
        final = self.folder / f"{name}.ckpt"
        if trainer.world_size > 1:
            # Every process takes part in gathering the state; the name must be the same in all.
            temporary = final.with_name(f".{name}.tmp.ckpt")
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                temporary.replace(final)
            return
        with atomic(final) as temporary:
            trainer.save_checkpoint(temporary)

    def _ask_to_stop(self, number: int, frame: Any) -> None:
        # Who asks twice does not want to wait for the end of the step.
        if self.stop_signal is not None:
            raise KeyboardInterrupt
        self.stop_signal = number

    def _restore_signals(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
