"""What losses do to their inputs first."""

import pytest
import torch
import torch.nn.functional as F

from densekd.losses.cirkd.memory import CIRKDMemory
from densekd.losses.dkd import DKD
from densekd.losses.hwd import HWD
from densekd.losses.ifvd import IFVD
from densekd.losses.inputs import (
    average_windows,
    labels_at,
    require_boxes,
    require_labels,
    require_levels,
    require_one_map,
)
from densekd.losses.pixel import Pixel
from densekd.losses.wsld import WSLD
from densekd.ops.boxes import Boxes
from densekd.ops.shapes import require_one_shape

OF_LABELS = (
    CIRKDMemory(4, 4, 4, 255, 40, 6),
    DKD(255),
    HWD(pixel_division="N"),
    IFVD(4, 255),
    Pixel(255, void="masked"),
    WSLD(255),
)


@pytest.mark.parametrize("size", [(3, 5), (7, 9), (1, 1), (14, 4)])
def test_labels_come_by_nearest_neighbour(size: tuple[int, int]) -> None:
    labels = torch.randint(-1, 256, (2, 7, 9))
    resized = labels_at(labels, size)
    wanted = F.interpolate(labels[:, None].double(), size=size, mode="nearest")[:, 0].long()
    assert resized.dtype == torch.int64
    assert torch.equal(resized, wanted)


def test_labels_of_the_right_size_are_not_touched() -> None:
    labels = torch.zeros(2, 7, 9, dtype=torch.int64)
    assert labels_at(labels, torch.Size((7, 9))) is labels


def test_boxes_are_no_map_of_labels() -> None:
    boxes = Boxes([torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2, torch.full((2, 2), 8))
    with pytest.raises(ValueError, match=r"needs labels \[2, H, W\], as in segmentation; the target is boxes"):
        require_labels(boxes, 2)
    for loss in OF_LABELS:
        with pytest.raises(ValueError, match=r"labels.* boxes$"):
            loss(torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6), boxes)


def test_labels_are_asked_for_each_image() -> None:
    labels = torch.zeros(3, 5, 6, dtype=torch.int64)
    assert require_labels(labels, 3) is labels
    for target, message in ((labels, r"got \[3, 5, 6\]$"), (None, "there are none$")):
        with pytest.raises(ValueError, match=rf"^this loss needs labels \[2, H, W\].*; {message}"):
            require_labels(target, 2)
        for loss in OF_LABELS:
            with pytest.raises(ValueError, match=message):
                loss(torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6), target)


def test_a_map_of_values_is_no_map_of_labels() -> None:
    depths = torch.rand(2, 5, 6)
    for loss in OF_LABELS:
        with pytest.raises(ValueError, match=r"needs labels.* a map of torch.float32 values, not of class numbers$"):
            loss(torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6), depths)


def test_boxes_are_asked_for_each_image() -> None:
    boxes = Boxes([torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2, torch.full((2, 2), 8))
    assert require_boxes(boxes, 2) is boxes
    for target, images, message in (
        (boxes, 3, "needs boxes for 3 images, as in detection; got boxes for 2"),
        (None, 2, "needs boxes for 2 images, as in detection; there are none"),
        (torch.zeros(2, 4, 4), 2, r"the target is labels \[2, 4, 4\]"),
    ):
        with pytest.raises(ValueError, match=message):
            require_boxes(target, images)


@pytest.mark.parametrize("side", [2, 4])
@pytest.mark.parametrize("size", [(8, 12), (6, 7), (5, 8), (1, 1), (3, 9)], ids=str)
def test_average_is_that_of_partial_windows(size: tuple[int, int], side: int) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    ours, pooled = average_windows(x, side), F.avg_pool2d(x, side, ceil_mode=True)
    torch.testing.assert_close(ours, pooled)
    torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), x)[0] for y in (ours, pooled)))


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 5, 4), (2, 3, 4, 1), (2, 3, 4)], ids=str)
def test_shapes(shape: tuple[int, ...]) -> None:
    x, y = torch.ones(2, 3, 4, 5), torch.ones(shape)
    for check in (require_one_shape, require_one_map):
        with pytest.raises(ValueError, match=r"one shape.*\[2, 3, 4, 5\] and ") as caught:
            check(x, y)
        assert str(list(shape)) in str(caught.value)


def test_channels_may_differ_where_only_the_map_counts() -> None:
    x, y = torch.ones(2, 3, 4, 5), torch.ones(2, 1, 4, 5)
    require_one_map(x, y)
    with pytest.raises(ValueError, match="one shape"):
        require_one_shape(x, y)


def test_levels_are_two_tuples_of_one_size() -> None:
    x, y, small = torch.ones(2, 3, 4, 5), torch.ones(2, 1, 4, 5), torch.ones(2, 3, 2, 2)
    require_levels((x, y), (y, x))
    for student, teacher, message in (
        (x, y, "as many taps each, at least two"),
        ((x,), (y,), "as many taps each, at least two"),
        ((x, y), (x, y, y), "as many taps each, at least two"),
        ((x, small), (x, y), r"got \[2, 3, 4, 5\], \[2, 3, 2, 2\] and \[2, 3, 4, 5\], \[2, 1, 4, 5\]$"),
    ):
        with pytest.raises(ValueError, match=message):
            require_levels(student, teacher)
