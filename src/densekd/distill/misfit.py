"""Messages about shapes that do not fit each other in a term, and what would fix it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from densekd.data.class_maps import class_map_between


class Meeting(NamedTuple):
    """Two maps that have to fit each other.

    Args:
        student: what the student's map is called.
        student_shape: ``[B, C, H, W]``.
        teacher: what the teacher's map is called.
        teacher_shape: ``[B, C, H, W]``.
    """

    student: str
    student_shape: torch.Size
    teacher: str
    teacher_shape: torch.Size


def describe_misfit(meetings: Sequence[Meeting], adapter: str | None, resize_to: str | None) -> str:
    """Describe which shapes meet in a term, and what would bring them together.

    Args:
        meetings: of every level.
        adapter: name of the adapter that changes channels; None where none could.
        resize_to: value of that key that changes sizes; None where they may differ.
    """
    shapes, convolutions = [], []
    sizes_differ = False
    class_maps: list[str] = []
    for student, student_shape, teacher, teacher_shape in meetings:
        shapes.append(f"{student} is {list(student_shape)}, {teacher} is {list(teacher_shape)}")
        sizes_differ |= student_shape[2:] != teacher_shape[2:]
        if student_shape[1] == teacher_shape[1]:
            continue
        if student.endswith(" logits") and teacher.endswith(" logits"):
            known = class_map_between(teacher_shape[1], student_shape[1])
            class_maps.append("" if known is None else f": {known}")
        elif adapter is not None:
            convolutions.append(f"{student_shape[1]} -> {teacher_shape[1]}")
    fixes = []
    if convolutions:
        fixes.append(f"'adapter: {adapter}' (a 1x1 convolution {', '.join(convolutions)})")
    if class_maps:
        fixes.append(f"'teacher.classes{class_maps[0]}', which maps the data's classes to the teacher's")
    if sizes_differ and resize_to is not None:
        fixes.append(f"'resize_to: {resize_to}'")
    remedy = f"Fix it with {' and '.join(fixes)}. " if fixes else ""
    return f"{'; '.join(shapes)}. {remedy}"
