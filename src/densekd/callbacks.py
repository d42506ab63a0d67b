"""What happens around the training steps: seeds, guards, records and checkpoints."""

import csv
import signal
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from densekd.data.segmentation import mix
from densekd.errors import UserError
from densekd.files import atomic
from densekd.optim import all_finite


class Interrupted(UserError):
    """The training was asked to stop and saved its state."""

    code = 130


class StepSeeds(L.Callback):
    """Seed every step from (seed, step, process), so that dropout and random losses resume exactly without a saved state.

    Args:
        seed: the recipe's.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed the global generators."""
        torch.manual_seed(mix(self.seed, batch_idx * trainer.world_size + trainer.global_rank))


class FiniteGuard(L.Callback):
    """Stop at the first loss that is not finite and name the term and the step.

    The step of each term's first bad value is kept on the device; the host looks every ``every`` steps and before a
    checkpoint is written, so that nothing waits in between and no checkpoint is written behind a bad value.

    Args:
        every: steps between looks.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.names: list[str] = []
        self.first: Tensor | None = None

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note bad values; look now and then."""
        values = torch.stack(list(outputs["losses"].values()))
        if self.first is None:
            self.names = list(outputs["losses"])
            self.first = torch.full(values.shape, -1, dtype=torch.int64, device=values.device)
        bad = ~values.isfinite() & (self.first < 0)
        self.first = torch.where(bad, trainer.global_step, self.first)
        if trainer.global_step % self.every == 0:
            self.check()

    def check(self) -> None:
        """Look.

        Raises:
            UserError: a loss was not finite.
        """
        if self.first is None:
            return
        steps = {name: step for name, step in zip(self.names, self.first.tolist(), strict=True) if step >= 0}
        if steps:
            name, step = min(steps.items(), key=lambda item: item[1])
            raise UserError(
                f"The loss '{name}' is not finite at step {step}; the training stopped and checkpoints/last.ckpt is from "
                "before. Lower the learning rate or the term's weight, clip gradients (training.clip), warm the weight up "
                "(weight.warmup), or use precision 32."
            )


class Checkpoints(L.Callback):
    """Write ``last`` every few steps, at validation, at the end and when asked to stop, and ``best``; atomically.

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
        self._previous = {s: signal.signal(s, self._ask_to_stop) for s in (signal.SIGINT, signal.SIGTERM)}

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Give the signals back."""
        self._restore_signals()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore_signals()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write ``last`` when it is due; a step that validates writes after its validation."""
        accumulated = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if not accumulated:
            return
        step = trainer.global_step
        stop = self.stop_signal is not None
        due = step % self.every == 0 or step == trainer.max_steps
        if stop or (due and not _validates_now(trainer, batch_idx)):
            self._save(trainer, "last")
        if stop:
            raise Interrupted(f"Stopped at step {step} of {trainer.max_steps}; continue with --resume.")

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write ``best`` if it is, and ``last``."""
        score = trainer.callback_metrics.get("val/miou")
        if score is not None and score.item() > self.best_score:
            self.best_score = score.item()
            self._save(trainer, "best")
        self._save(trainer, "last")

    def _save(self, trainer: L.Trainer, name: str) -> None:
        self.guard.check()
        assert trainer.lightning_module is not None
        if not all_finite(trainer.lightning_module):
            raise UserError(
                f"A weight is not finite after step {trainer.global_step}, though the losses are: a gradient overflowed. "
                f"{self.folder / 'last.ckpt'} is from before. Clip gradients (training.clip) or lower the learning rate."
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
        if self.stop_signal is not None:
            raise KeyboardInterrupt
        self.stop_signal = number

    def _restore_signals(self) -> None:
        for number, handler in getattr(self, "_previous", {}).items():
            signal.signal(number, handler)


class Recorder(L.Callback):
    """Write ``metrics.csv``, feed the loggers and show progress with the time left.

    Args:
        path: of the CSV; rows behind the step a training resumes from are dropped.
        every: steps between rows.
        console: for the progress.
    """

    def __init__(self, path: Path, every: int, console: Console) -> None:
        self.path = path
        self.every = every
        self.console = console
        self.columns: list[str] = ["step"]
        self.seconds: float | None = None
        self.started = (time.perf_counter(), 0)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Read what an interrupted training wrote and start the clock."""
        rows = [row for row in _read_rows(self.path) if int(row["step"]) <= trainer.global_step]
        if trainer.is_global_zero:
            self.columns = list(rows[0]) if rows else ["step"]
            self._rewrite(rows)
        self.started = (time.perf_counter(), trainer.global_step)
        self.bar = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(), console=self.console, disable=not (self.console.is_terminal and trainer.is_global_zero),
        )  # fmt: skip
        self.bar.start()
        self.row = self.bar.add_task("training", total=trainer.max_steps, completed=trainer.global_step, status="")

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record every few steps; only then are values fetched from the device."""
        step = trainer.global_step
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        self.bar.update(self.row, completed=step)
        if not stepped or not (step % self.every == 0 or step == trainer.max_steps):
            return
        losses = {name: value.item() for name, value in outputs["losses"].items()}
        now = time.perf_counter()
        self.seconds = (now - self.started[0]) / max(1, step - self.started[1])
        self.started = (now, step)
        values = {"loss": sum(losses.values()), **losses, "lr": trainer.optimizers[0].param_groups[0]["lr"]}
        self._record(trainer, step, values | {"seconds_per_step": self.seconds})
        self._show(trainer, step, values)
        for logger in trainer.loggers:
            logger.log_metrics(values, step)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Record the validation scores."""
        values = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        self._record(trainer, trainer.global_step, values)
        if trainer.is_global_zero:
            shown = "  ".join(f"{name} {value:.2f}" for name, value in values.items())
            self.console.print(f"step {trainer.global_step}  {shown}", highlight=False)
        # Validation is not part of the time of a step.
        self.started = (time.perf_counter(), trainer.global_step)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Close the progress bar."""
        self.bar.stop()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Close the progress bar."""
        if hasattr(self, "bar"):
            self.bar.stop()

    def _show(self, trainer: L.Trainer, step: int, values: dict[str, float]) -> None:
        if not trainer.is_global_zero:
            return
        self.bar.update(self.row, status=f"loss {values['loss']:.3f}")
        if self.console.is_terminal or step % (self.every * 10) and step != trainer.max_steps:
            return
        assert self.seconds is not None
        left = time.strftime("%H:%M:%S", time.gmtime(self.seconds * (trainer.max_steps - step)))
        terms = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.console.print(
            f"step {step}/{trainer.max_steps}  {terms}  {self.seconds:.3f} s/step  {left} left", highlight=False, soft_wrap=True
        )

    def _record(self, trainer: L.Trainer, step: int, values: dict[str, float]) -> None:
        if not trainer.is_global_zero:
            return
        row = {"step": str(step)} | {name: f"{value:.6g}" for name, value in values.items()}
        if set(row) - set(self.columns):
            self.columns += [name for name in row if name not in self.columns]
            self._rewrite(_read_rows(self.path))
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.DictWriter(handle, self.columns, restval="").writerow(row)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with atomic(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, self.columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def _validates_now(trainer: L.Trainer, batch_idx: int) -> bool:
    return isinstance(trainer.val_check_batch, int) and (batch_idx + 1) % trainer.val_check_batch == 0


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        # A line that was cut off by a crash lacks values; it is dropped with its step.
        return [row for row in csv.DictReader(handle) if row.get("step", "").isdigit() and None not in row.values()]
