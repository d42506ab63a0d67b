"""Quantization-aware training under a Trainer: nearer to the float student than calibration alone; processes agree."""

import copy
from pathlib import Path

import pytest
import torch
from forked import in_two_processes
from quantized_ranges import write_ranges
from tiny_quantized import tiny_float

from densekd.distill.fit import distill
from densekd.distill.quantization import QuantizationAwareTraining, RangeSchedule
from densekd.errors import UserError
from densekd.quantize import apply_plan, calibrate, is_calibrated, make_plan, quantizers


def test_training_is_nearer_to_the_float_student_than_calibration_alone() -> None:
    """int8 by calibration, and int8 that learns from the float student for 30 steps, on unseen images."""
    teacher = tiny_float("fpn", 32)
    generator = torch.Generator().manual_seed(1)
    batches = [torch.rand(4, 3, 32, 32, generator=generator) for _ in range(4)]
    unseen = torch.rand(8, 3, 32, 32, generator=generator)
    with torch.no_grad():
        wanted = teacher(unseen)
    errors = {}
    for name in ("calibrated", "trained"):
        student = copy.deepcopy(teacher)
        apply_plan(student, make_plan(student, batches[0]))
        if name == "calibrated":
            # As a device runs it: by running statistics, without a step.
            student.eval()
            calibrate(student, batches)
        else:
            schedule = RangeSchedule(momentum=0.1, freeze_batchnorm=0.0, freeze_observers=0.5)
            trainer = {"callbacks": [QuantizationAwareTraining(lambda: batches, schedule)], "accelerator": "cpu"}
            torch.manual_seed(0)
            distill(student, teacher, batches, {"l2": 1.0}, steps=30, task="none", trainer=trainer)
            student.eval()
        with torch.no_grad():
            errors[name] = (student(unseen) - wanted).square().mean().sqrt().item() / wanted.std().item()
    assert errors["trained"] < 0.7 * errors["calibrated"], errors


def test_a_float_student_is_refused() -> None:
    student, teacher = tiny_float("fpn", 32), tiny_float("fpn", 32)
    batches = [torch.rand(2, 3, 32, 32)]
    trainer = {"callbacks": [QuantizationAwareTraining(lambda: batches)], "accelerator": "cpu"}
    with pytest.raises(UserError, match="The student is not quantized"):
        distill(student, teacher, batches, {"l2": 1.0}, steps=1, task="none", trainer=trainer)


def test_ranges_stay_once_they_are_frozen() -> None:
    student, teacher = tiny_float("fpn", 32), tiny_float("fpn", 32)
    batches = [torch.rand(2, 3, 32, 32)]
    apply_plan(student, make_plan(student, batches[0]))
    # In the memory format of the Distiller, so that sums are in its order.
    before = copy.deepcopy(student).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    calibrate(before, batches)
    schedule = RangeSchedule(freeze_batchnorm=0.0, freeze_observers=0.0)
    trainer = {"callbacks": [QuantizationAwareTraining(lambda: batches, schedule)], "accelerator": "cpu"}
    distill(student, teacher, batches, {"l2": 1.0}, steps=2, task="none", trainer=trainer)
    assert is_calibrated(student)
    for quantizer, other in zip(quantizers(student), quantizers(before), strict=True):
        torch.testing.assert_close(quantizer.low, other.low, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(quantizer.high, other.high, rtol=1e-5, atol=1e-6)


@pytest.mark.timeout(300)
def test_two_processes_have_one_range(tmp_path: Path) -> None:
    """Each saw one value, -2 or 3: both move half of the way from (0, 1) to (-2, 3)."""
    in_two_processes(write_ranges, tmp_path)
    assert (tmp_path / "0.txt").read_text() == (tmp_path / "1.txt").read_text() == "-1.0 2.0"
