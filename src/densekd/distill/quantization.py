"""Quantization-aware training of a student under any Lightning Trainer: calibration, ranges, freezing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning as L
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from densekd.distill.batches import as_batch
from densekd.errors import UserError
from densekd.quantize import calibrate, is_calibrated, observe, plan_of, update_ranges


@dataclass(frozen=True)
class RangeSchedule:
    """When the ranges of activations follow the training, and when they stay.

    Args:
        momentum: share of each step's range in the moving average.
        freeze_batchnorm: share of the steps after which batch norms use their running statistics.
        freeze_observers: share of the steps after which ranges stay.
    """

    momentum: float = 0.05
    freeze_batchnorm: float = 0.4
    freeze_observers: float = 0.5


class QuantizationAwareTraining(L.Callback):
    """Measure the ranges of a quantized student before the first step, follow them, and freeze them.

    All that it remembers are the ranges, which are buffers of the student: a resumed training goes on
    from its checkpoint. What is frozen follows from the step. Ranges are over all processes: the first
    ones are measured on the same batches in each, and later ones are exchanged once for each step.

    Args:
        batches: makes the batches for calibration, the same in every process.
        schedule: momentum and freezing.
    """

    def __init__(self, batches: Callable[[], Iterable[Any]], schedule: RangeSchedule | None = None) -> None:
        self.batches = batches
        self.schedule = schedule or RangeSchedule()

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Calibrate, unless a checkpoint has brought the ranges.

        Raises:
            UserError: a student that is not quantized, or no images.
        """
        student = student_of(module)
        if plan_of(student) is None:
            raise UserError(
                "The student is not quantized: call densekd.quantize.apply_plan(student, "
                "densekd.quantize.make_plan(student, images)) before the training."
            )
        if trainer.max_steps < 1:
            raise UserError("Quantization freezes ranges after a share of the steps: set the Trainer's max_steps.")
        if not is_calibrated(student):
            with trainer.precision_plugin.forward_context():
                calibrate(student, self._images(trainer, module))

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Freeze what is due at this step."""
        student = student_of(module)
        if self._is_due(trainer, self.schedule.freeze_batchnorm):
            freeze_batch_norms(student)
        first_part = batch_idx % trainer.accumulate_grad_batches == 0
        if first_part:
            observe(student, not self._is_due(trainer, self.schedule.freeze_observers))

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the ranges once for each optimizer step."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        # The step has been counted already.
        frozen = trainer.global_step - 1 >= self._first_frozen(trainer, self.schedule.freeze_observers)
        if not stepped:
            return
        student = student_of(module)
        if not frozen:
            update_ranges(student, self.schedule.momentum)
        # What is evaluated between two steps leaves no trace.
        observe(student, False)

    def _images(self, trainer: L.Trainer, module: Any) -> Iterator[Tensor]:
        """Yield the images of the calibration as the student takes them, on its device."""
        for samples in self.batches():
            batch = trainer.strategy.batch_to_device(as_batch(samples), module.device, 0)
            yield module.task.images(batch)

    def _is_due(self, trainer: L.Trainer, share: float) -> bool:
        return trainer.global_step >= self._first_frozen(trainer, share)

    def _first_frozen(self, trainer: L.Trainer, share: float) -> int:
        """Return the number of steps that come before something is frozen."""
        return round(share * max(trainer.max_steps, 0))


def student_of(module: Any) -> nn.Module:
    """Return the student of a :class:`densekd.distill.distiller.Distiller`."""
    student: nn.Module = module.student
    return student


def freeze_batch_norms(model: nn.Module) -> None:
    """Let the batch norms of a model use their running statistics, which stay; gamma and beta still learn."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.eval()
