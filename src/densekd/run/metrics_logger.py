"""Metrics of a training as ``metrics.csv``, and its progress with the time left."""

import csv
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from torch import Tensor

from densekd.atomic import atomic, put_aside
from densekd.data.waiting import Waiting
from densekd.disk import naming
from densekd.errors import UserError
from densekd.run.data_wait import DataWait
from densekd.run.folder import is_first_process
from densekd.run.time_left import TimeLeft
from densekd.terminal import is_quiet

# Where no progress bar can be shown, every tenth record is printed.
_PRINT_EVERY = 10
# Without a record a line says after so many seconds how long it will take; then after twice as many, up to the most.
_FIRST_LINE = 30.0
_LONGEST_SILENCE = 600.0
_WIDTH = 80
_TIME, _WAIT = "seconds_per_step", "data_wait"
# From this share on the line of a record says that a step waits for data.
_SHOWN = 0.1


class MetricsLogger(L.Callback):
    """Writer of ``metrics.csv``, and progress bar with the time left.

    Loggers get what the Distiller logs. Optimizer steps count from 1: row k holds the losses of the
    batch of step k, and the learning rate that this step was taken with, ``lr_factor(k - 1)`` times
    the base rate.

    Args:
        path: of the CSV; rows after the step a training resumes from are dropped.
        every: optimizer steps between rows.
        console: for the progress.
        wait: tells which share of the time was waited for data; None: nothing is known of it.
        clock: returns seconds.
    """

    def __init__(
        self,
        path: Path,
        every: int,
        console: Console,
        wait: DataWait | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock = clock
        self.path = path
        self.every = every
        self.console = console
        self.wait = wait or DataWait(Waiting(), 0)
        self.columns: list[str] = ["step"]
        self.rate = 0.0
        self.seconds: float | None = None
        self.started = (clock(), 0)
        self.left = TimeLeft(0, 0)
        self.validation_began = 0.0
        # When a line was printed, and the seconds of silence until the next.
        self.printed, self.silence = self.started[0], _FIRST_LINE
        # Of the rows that were written: their number and running checksum.
        self.written = (0, 0)

    def state_dict(self) -> dict[str, Any]:
        """Remember which rows were written until a checkpoint."""
        count, checksum = self.written
        return {"rows": count, "checksum": checksum}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare the rows on the disk with those that were written; damaged ones are put aside, which is said."""
        count = state_dict["rows"]
        rows = _read_rows(self.path)
        if not is_first_process() or _summed(rows[:count]) == (count, state_dict["checksum"]):
            return
        kept = f"it is kept as {put_aside(self.path)}" if self.path.exists() else "it is gone"
        self.columns = list(rows[0]) if rows else ["step"]
        self._rewrite(rows)
        self.console.print(
            f"warning: {self.path} is damaged: of {count} rows {min(count, len(rows))} can be read, and not all are as "
            f"they were written; {kept}, and the training goes on with the rows that can be read",
            style="yellow",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Read what an interrupted training wrote and start the clock."""
        # Steps after the checkpoint are trained, and recorded, again.
        rows = [row for row in _read_rows(self.path) if int(row["step"]) <= trainer.global_step]
        if trainer.is_global_zero:
            self.columns = list(rows[0]) if rows else ["step"]
            self._rewrite(rows)
        self.written = _summed(rows)
        self._restart(trainer.global_step)
        self.printed, self.silence = self.started[0], _FIRST_LINE
        self.left = TimeLeft(trainer.max_steps, _steps_between_validations(trainer))
        self.left.begin(trainer.global_step, self.started[0])
        # A file or a pipe gets lines instead of a bar.
        hidden = is_quiet() or not (self.console.is_terminal and trainer.is_global_zero)
        self.bar = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}", markup=False),
            TextColumn("{task.fields[left]}", markup=False),
            console=self.console,
            disable=hidden,
            expand=True,
        )
        self.bar.start()
        done, total = trainer.global_step, trainer.max_steps
        self.row = self.bar.add_task("training", total=total, completed=done, status="", left="")

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the learning rate of the step; the schedule has moved on when the batch ends."""
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Record every few steps; only then are values fetched from the device."""
        # With gradient accumulation, only the last part of a batch ends a step.
        step = trainer.global_step
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped:
            self.left.stepped(step, self.clock())
        if not self.bar.disable:
            self.bar.update(self.row, completed=step, left=self.left.words)
        self._break_silence(trainer, step)
        due = step % self.every == 0 or step == trainer.max_steps
        if not (stepped and due):
            return
        # Means over all processes, fetched as one tensor.
        values = torch.stack(list(outputs["losses"].values()))
        means = trainer.strategy.reduce(values, reduce_op="mean")
        assert isinstance(means, Tensor)
        losses = dict(zip(outputs["losses"], means.tolist(), strict=True))
        # The time of a step is that of all steps since the last record.
        now = self.clock()
        before, step_before = self.started
        self.seconds = (now - before) / max(1, step - step_before)
        self.started = (now, step)
        waited = self.wait.share(now - before)
        row = {"loss": sum(losses.values()), **losses, "lr": self.rate}
        self._record(trainer, step, {**row, _TIME: self.seconds, _WAIT: waited})
        self._show(trainer, step, row, waited)
        self._advise(trainer)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Show the progress of the validation below that of the training, which waits for it."""
        self.validation_began = self.clock()
        batches = int(sum(trainer.num_val_batches))
        self.validation = self.bar.add_task("validating", total=batches, status="", left="")

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *loader: Any
    ) -> None:
        """Move the bar of the validation."""
        self.bar.update(self.validation, completed=batch_idx + 1)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Record the validation scores."""
        self.bar.remove_task(self.validation)
        self.left.validation(self.clock() - self.validation_began)
        metrics = trainer.callback_metrics.items()
        values = {name: value.item() for name, value in metrics if name.startswith("val/")}
        self._record(trainer, trainer.global_step, values)
        if trainer.is_global_zero:
            shown = "  ".join(f"{name} {value:.2f}" for name, value in values.items())
            self.console.print(f"step {trainer.global_step}  {shown}", highlight=False)
        # Validation is not part of the time of a step.
        self._restart(trainer.global_step)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Close the progress bar."""
        self.bar.stop()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Close the progress bar."""
        if hasattr(self, "bar"):
            self.bar.stop()

    def _restart(self, step: int) -> None:
        """Begin to count the time of the steps behind this one."""
        self.started = (self.clock(), step)
        self.wait.restart()

    def _advise(self, trainer: L.Trainer) -> None:
        """Say once what to change where the steps wait for data."""
        advice = self.wait.advice()
        if advice is not None and trainer.is_global_zero:
            self.console.print(f"warning: {advice}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def _show(self, trainer: L.Trainer, step: int, values: Mapping[str, float], waited: float) -> None:
        """Show the loss beside the progress bar; without one print a line now and then."""
        if not trainer.is_global_zero:
            return
        waits = f"  {waited:.0%} waiting for data" if waited >= _SHOWN else ""
        self.bar.update(self.row, status=f"loss {values['loss']:.3f}{waits}")
        due = step % (self.every * _PRINT_EVERY) == 0 or step == trainer.max_steps
        if self.console.is_terminal or not due:
            return
        assert self.seconds is not None
        self.printed = self.clock()
        rest = dict(values)
        loss = rest.pop("loss")
        line = f"step {step}/{trainer.max_steps}  loss {loss:.4g}  {self.seconds:.3f} s/step  {self.left.words}{waits}"
        # The terms behind it where they fit, or below it.
        terms = "  ".join(f"{name} {value:.4g}" for name, value in rest.items())
        between = "  " if len(line) + len(terms) + 2 <= _WIDTH else "\n  "
        self.console.print(f"{line}{between}{terms}", highlight=False, soft_wrap=True)

    def _break_silence(self, trainer: L.Trainer, step: int) -> None:
        """Say without a bar how long it will take, where no record was printed for long; nothing is fetched."""
        now = self.clock()
        if self.console.is_terminal or not trainer.is_global_zero or now - self.printed < self.silence:
            return
        self.printed, self.silence = now, min(2 * self.silence, _LONGEST_SILENCE)
        line = f"step {step}/{trainer.max_steps}  {self.left.per_step or 0:.3f} s/step  {self.left.words}"
        self.console.print(line, highlight=False, soft_wrap=True)

    def _record(self, trainer: L.Trainer, step: int, values: Mapping[str, float]) -> None:
        """Append a row; a new column, as those of the validation are, is added to all rows."""
        if not trainer.is_global_zero:
            return
        row = {"step": str(step)}
        for name, value in values.items():
            row[name] = f"{value:.6g}"
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite(_read_rows(self.path))
        # It was made when the training began: without it the folder was deleted meanwhile.
        if not self.path.is_file():
            raise UserError(f"{self.path} is gone: its folder was deleted or moved while the training ran.")
        with naming(self.path), self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.DictWriter(handle, self.columns, restval="").writerow(row)
        self.written = _summed([row], self.written)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with (
            atomic(self.path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as handle,
        ):
            writer = csv.DictWriter(handle, self.columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def _steps_between_validations(trainer: L.Trainer) -> int:
    """Return the optimizer steps between two validations; 0 where there is none."""
    batches = trainer.val_check_batch
    if not isinstance(batches, int) or not trainer.enable_validation:
        return 0
    return batches // trainer.accumulate_grad_batches


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as handle:
            rows = list(csv.DictReader(handle))
    except csv.Error:
        return []
    # A line that was cut off by a crash lacks values; it is dropped with its step.
    return [row for row in rows if _is_whole(row)]


def _is_whole(row: Mapping[str | None, Any]) -> bool:
    """Tell whether a row has a step, and as many cells as the header."""
    return (row.get("step") or "").isdecimal() and None not in row and None not in row.values()


def _summed(rows: Sequence[Mapping[str, str]], before: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Return the number of rows and the CRC-32 of their values, but for times.

    Args:
        rows: columns that were not written then are empty.
        before: of the rows before them.
    """
    count, checksum = before
    for row in rows:
        cells = [f"{name}={value}" for name, value in sorted(row.items()) if value != "" and name not in (_TIME, _WAIT)]
        checksum = zlib.crc32(";".join(cells).encode(), checksum)
        count += 1
    return count, checksum
