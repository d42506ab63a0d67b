"""Shape checks for a student's and a teacher's maps."""

from torch import Tensor


def require_one_shape(student: Tensor, teacher: Tensor) -> None:
    """Refuse tensors that differ in shape: broadcasting one over the other would be silent.

    Raises:
        ValueError: names both shapes.
    """
    if student.shape != teacher.shape:
        shapes = f"{list(student.shape)} and {list(teacher.shape)}"
        raise ValueError(f"student and teacher must have one shape, got {shapes}")


def require_one_kind(student: Tensor, teacher: Tensor) -> None:
    """Refuse maps ``[B, C, H, W]`` that differ in more than height and width.

    Raises:
        ValueError: names both shapes.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "student and teacher must have one shape but for height and width, "
            f"got {list(student.shape)} and {list(teacher.shape)}"
        )
