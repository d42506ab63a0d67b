"""Input checks that losses share: shapes, labels and boxes, and labels at the size of the maps."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.ops.boxes import Boxes


def require_one_map(student: Tensor, teacher: Tensor) -> None:
    """Refuse maps that differ in batch, height or width; each may have channels of its own.

    Raises:
        ValueError: names both shapes.
    """
    if student.shape[0] != teacher.shape[0] or student.shape[2:] != teacher.shape[2:]:
        raise ValueError(
            "student and teacher must have one shape but for the channels, "
            f"got {list(student.shape)} and {list(teacher.shape)}"
        )


def require_channels(student: Tensor, teacher: Tensor, channels: tuple[int, int]) -> None:
    """Refuse maps that a loss with parameters of its own was not built for.

    Args:
        student: ``[B, channels[0], H, W]``.
        teacher: ``[B, channels[1], H, W]``.
        channels: what the loss was built for.

    Raises:
        ValueError: names both shapes.
    """
    require_one_map(student, teacher)
    if (student.shape[1], teacher.shape[1]) != channels:
        raise ValueError(
            "student and teacher must have one shape but for "
            f"{channels[0]} and {channels[1]} channels, "
            f"got {list(student.shape)} and {list(teacher.shape)}"
        )


def require_levels(student: Any, teacher: Any) -> None:
    """Refuse anything but two tuples of at least two maps that share batch, height and width.

    Raises:
        ValueError: a single map, too few levels or different numbers of them, other sizes.
    """
    if not isinstance(student, tuple) or not len(student) == len(teacher) >= 2:
        raise ValueError("this loss compares levels: give student and teacher as many taps each, at least two")
    if len({(len(level), level.shape[2:]) for level in (*student, *teacher)}) > 1:
        raise ValueError(
            f"the levels must have one shape but for the channels, got {_shapes(student)} and {_shapes(teacher)}"
        )


def require_labels(target: Any, images: int, who: str = "this loss") -> Tensor:
    """Return the target, which must be a map of labels for as many images.

    Args:
        target: what the task gives: labels ``[B, H, W]``, boxes, or None.
        images: B.
        who: the option that needs labels, where it is not the loss as such.

    Raises:
        ValueError: there are no labels, or they are for another number of images.
    """
    wanted = f"{who} needs labels [{images}, H, W], as in segmentation"
    if isinstance(target, Boxes):
        raise ValueError(f"{wanted}; the target is boxes")
    if not isinstance(target, Tensor):
        raise ValueError(f"{wanted}; there are none")
    if target.is_floating_point():
        raise ValueError(f"{wanted}; the target is a map of {target.dtype} values, not of class numbers")
    if len(target) != images:
        raise ValueError(f"{wanted}; got {list(target.shape)}")
    return target


def require_boxes(target: Any, images: int) -> Boxes:
    """Return the target, which must be boxes for as many images.

    Args:
        target: what the task gives: boxes, labels ``[B, H, W]``, or None.
        images: B.

    Raises:
        ValueError: there are no boxes, or they are for another number of images.
    """
    wanted = f"this loss needs boxes for {images} images, as in detection"
    if isinstance(target, Tensor):
        raise ValueError(f"{wanted}; the target is labels {list(target.shape)}")
    if not isinstance(target, Boxes):
        raise ValueError(f"{wanted}; there are none")
    if len(target.boxes) != images:
        raise ValueError(f"{wanted}; got boxes for {len(target.boxes)}")
    return target


def labels_at(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize labels ``[B, H', W']`` to ``size`` by nearest neighbour; still int64."""
    if labels.shape[1:] == size:
        return labels
    rows = _nearest(labels.shape[1], size[0], labels.device)
    columns = _nearest(labels.shape[2], size[1], labels.device)
    return labels[:, rows[:, None], columns]


def average_windows(x: Tensor, side: int) -> Tensor:
    """Average pooling over windows of ``side x side``; those at the border may be partial.

    The same as ``F.avg_pool2d`` with ``ceil_mode``, whose gradient at partial windows
    torch.compile gets wrong.
    """
    H, W = x.shape[2:]
    border = (0, -W % side, 0, -H % side)
    if not any(border):
        return F.avg_pool2d(x, side)
    # The share of each window that lies inside the map undoes the zeros of the padding.
    share = F.avg_pool2d(F.pad(x.new_ones(1, 1, H, W), border), side)
    return F.avg_pool2d(F.pad(x, border), side) / share


def _nearest(source: int, wanted: int, device: torch.device) -> Tensor:
    """Return the indices that ``F.interpolate`` reads; it would copy all labels to floats first."""
    places = torch.arange(wanted, dtype=torch.float32, device=device) * (source / wanted)
    return places.floor().long().clamp(max=source - 1)


def _shapes(levels: tuple[Tensor, ...]) -> str:
    return ", ".join(str(list(level.shape)) for level in levels)
