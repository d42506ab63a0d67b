"""Projection head that brings the student's features to the teacher's width before a memory bank."""

from torch import Tensor, nn

from densekd.ops.precision import compute_dtype


def project_head(student_channels: int, teacher_channels: int) -> nn.Sequential:
    """Build the projection head: 1x1 convolution, batch norm, ReLU, 1x1 convolution, no biases."""
    return nn.Sequential(
        nn.Conv2d(student_channels, teacher_channels, 1, bias=False),
        nn.BatchNorm2d(teacher_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
    )


def project(head: nn.Sequential, student: Tensor) -> Tensor:
    """Apply the head in the precision of its weights; return that of ``student``, at least float32.

    Raises:
        ValueError: another number of channels than the head was made for.
    """
    weight = head[0].weight
    assert isinstance(weight, Tensor)
    if student.shape[1] != weight.shape[1]:
        raise ValueError(f"this loss is made for {weight.shape[1]} student channels, got {list(student.shape)}")
    # The batch norm inside keeps the precision of its weights.
    projected: Tensor = head(student.to(weight.dtype))
    return projected.to(compute_dtype(student))
