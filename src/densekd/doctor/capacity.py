"""Capacity of a trained student: it has learnt the training images by heart, or cannot fit them."""

from typing import Any

from densekd.data.contract import subset
from densekd.data.files import SegmentationFiles
from densekd.doctor.case import Case
from densekd.doctor.finding import Finding
from densekd.models.open import open_model
from densekd.tasks.segmentation.task import Segmentation

# Images of each split that are scored.
_IMAGES = 16
# mIoU on training images with little left to learn, and a distance to validation of more than splits differ by.
_BY_HEART, _GAP = 80.0, 25.0
# Distance to the teacher on training images, and to validation, of a student that cannot fit them.
_BEHIND, _SAME = 15.0, 5.0


def examine_capacity(case: Case) -> list[Finding]:
    """Score a run's student on images that it learnt from, and compare with validation and teacher."""
    task, learnt = case.built.task, case.built.training.files
    if case.student is None or not isinstance(task, Segmentation):
        return []
    if not isinstance(learnt, SegmentationFiles) or learnt.labels == "absent":
        return []
    student = open_model(case.student).model
    sample: Any = subset(learnt, _IMAGES)
    held: Any = subset(case.built.validation, _IMAGES)
    resize = case.built.package.resize
    train, val = task.scores(student, sample, resize)["miou"], task.scores(student, held, resize)["miou"]
    if train is None or val is None:
        return []
    numbers = {"train": float(train), "val": float(val)}
    said = f"the student's mIoU is {train:.1f} on training images and {val:.1f} on validation images"
    if train >= _BY_HEART and train - val >= _GAP:
        fix = "take a smaller student.model, more images, or a stronger augment"
        return [Finding("student-overfits", "warning", said, fix, numbers)]
    teacher = case.built.scored_teacher
    if teacher is None or train - val > _SAME:
        return []
    taught = task.scores(teacher, sample, resize)["miou"]
    if taught is None or taught - train < _BEHIND:
        return []
    evidence = f"{said}; the teacher has {taught:.1f} on the same training images"
    fix = "take a larger student.model, or train longer (training.steps)"
    return [Finding("student-saturated", "warning", evidence, fix, {**numbers, "teacher": float(taught)})]
