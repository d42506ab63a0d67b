"""What losses do to their inputs first: check shapes, widen half precision, bring labels to the maps' size."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.ops.precision import to_float32 as to_float32
from densekd.ops.shapes import require_one_shape as require_one_shape


class Boxes(Protocol):
    """The target of a detector, whatever holds it.

    Shape:
        boxes: of each image, ``[N, 4]``: corners ``(x1, y1, x2, y2)`` in pixels of the batch; N may be 0. sizes: int64
        ``[B, 2]``: height and width of each image before it was padded to the batch's size.
    """

    @property
    def boxes(self) -> Sequence[Tensor]: ...  # noqa: D102
    @property
    def sizes(self) -> Tensor: ...  # noqa: D102


def require_boxes(target: Any, images: int) -> Boxes:
    """Return the target, which must have boxes for as many images.

    Raises:
        ValueError: there are none, as without labels or where a segmentation learns; or for another number of images.
    """
    if not (hasattr(target, "boxes") and hasattr(target, "sizes")):
        got = f"labels {list(target.shape)}" if isinstance(target, Tensor) else "none"
        raise ValueError(f"this loss learns from boxes, the labels of a detector, got {got}")
    if len(target.boxes) != images:
        raise ValueError(f"boxes for {len(target.boxes)} images meet maps of {images}")
    boxes: Boxes = target
    return boxes


def require_one_map(student: Tensor, teacher: Tensor) -> None:
    """Refuse tensors that differ in batch, height or width; each may have channels of its own.

    Raises:
        ValueError: says both shapes.
    """
    if student.shape[0] != teacher.shape[0] or student.shape[2:] != teacher.shape[2:]:
        raise ValueError(
            "student and teacher must have one shape but for the channels, "
            f"got {list(student.shape)} and {list(teacher.shape)}"
        )


def require_channels(student: Tensor, teacher: Tensor, channels: tuple[int, int]) -> None:
    """Refuse tensors that a loss with weights of its own was not built for.

    Args:
        student: ``[B, channels[0], H, W]``.
        teacher: ``[B, channels[1], H, W]``.
        channels: what the loss was built for.

    Raises:
        ValueError: says both shapes.
    """
    require_one_map(student, teacher)
    if (student.shape[1], teacher.shape[1]) != channels:
        raise ValueError(
            f"student and teacher must have one shape but for {channels[0]} and {channels[1]} channels, "
            f"got {list(student.shape)} and {list(teacher.shape)}"
        )


def require_positive(*values: float) -> None:
    """Refuse sizes and temperatures that are not positive.

    Raises:
        ValueError: says all of them.
    """
    if min(values) <= 0:
        raise ValueError(f"sizes and temperatures must be positive, got {', '.join(map(str, values))}")


def average_windows(x: Tensor, side: int) -> Tensor:
    """Average over windows of ``side x side``; those at the border may be partial.

    The same as ``F.avg_pool2d`` with ``ceil_mode``, whose gradient at partial windows torch.compile gets wrong.
    """
    H, W = x.shape[2:]
    border = (0, -W % side, 0, -H % side)
    if not any(border):
        return F.avg_pool2d(x, side)
    share = F.avg_pool2d(F.pad(x.new_ones(1, 1, H, W), border), side)
    return F.avg_pool2d(F.pad(x, border), side) / share


def labels_at(target: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return labels ``[B, H', W']`` at another size by nearest neighbour, still int64.

    Raises:
        ValueError: the target is no map, as that of a detector.
    """
    if not isinstance(target, Tensor):
        raise ValueError("this loss learns from a map of labels, which a segmentation has; the target here is boxes")
    if target.shape[1:] == size:
        return target
    rows, columns = (_nearest(n, m, target.device) for n, m in zip(target.shape[1:], size, strict=True))
    return target[:, rows[:, None], columns]


def _nearest(source: int, wanted: int, device: torch.device) -> Tensor:
    """Return the indices that ``F.interpolate`` reads, which itself would first copy all labels to floats."""
    places = torch.arange(wanted, dtype=torch.float32, device=device) * (source / wanted)
    return places.floor().long().clamp(max=source - 1)
