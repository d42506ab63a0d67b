"""Pixel groups of each task: classes, boxes, ranges of depth."""

from pathlib import Path

import torch

from densekd.data.coco import coco
from densekd.data.depth import depth
from densekd.data.folder import folder
from densekd.tasks import TASKS
from densekd.tasks.depth.pixel_groups import depth_groups, range_colors, range_edges
from densekd.tasks.detection.pixel_groups import box_groups, paint_boxes
from densekd.tasks.pixel_groups import NO_GROUP, GroupsPixels
from densekd.tasks.segmentation.pixel_groups import class_groups


def test_every_task_groups_its_pixels() -> None:
    for name, task in TASKS.items():
        assert issubclass(task, GroupsPixels), name


def test_classes_without_void(data_root: Path) -> None:
    files = folder(data_root, "val")
    found = class_groups(files, [2, 0], (16, 24))
    assert found.names == ("class0", "class1", "class2")
    assert found.stems == ("002", "000")
    assert found.images[0].shape == (3, 16, 24)
    label = torch.from_numpy(files.pair(2)[1]).long()
    assert (found.groups[0][:2, :2] == NO_GROUP).all()
    assert torch.equal(found.groups[0][2:], label[2:])


def test_the_smallest_box_lies_on_top() -> None:
    boxes = torch.tensor([[2.0, 1, 5, 3], [0, 0, 6, 4]])
    painted = paint_boxes(boxes, torch.tensor([1, 0]), (5, 7))
    expected = torch.full((5, 7), NO_GROUP)
    expected[:4, :6] = 0
    expected[1:3, 2:5] = 1
    assert torch.equal(painted, expected)
    assert (paint_boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), (2, 2)) == NO_GROUP).all()


def test_boxes_follow_the_image_into_its_padding(boxes_root: Path) -> None:
    files = coco(boxes_root, "val")
    found = box_groups(files, [0, 2], (32, 128))
    # 64 x 128 becomes 32 x 64, a multiple of 32 already.
    assert found.images[0].shape == (3, 32, 64)
    assert found.groups[0].shape == (32, 64)
    # The car at x 100..140, y 10..40 of the original ends at the image's border; a speck is a person.
    car, person = found.names.index("car"), found.names.index("person")
    assert (found.groups[0] == person).nonzero().tolist() == [[2, 20]]
    rows, columns = (found.groups[0] == car).nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 19, 50, 63)
    odd = box_groups(files, [0], (30, 128))
    assert odd.images[0].shape == (3, 32, 64)
    assert odd.groups[0].shape == (32, 64)
    assert (odd.groups[0][30:] == NO_GROUP).all()


def test_ranges_of_depth_hold_equally_many_pixels(depth_root: Path) -> None:
    files = depth(depth_root, "val")
    found = depth_groups(files, [0, 1], None)
    assert len(found.names) == len(found.colors) == 8
    assert found.names[0].startswith("1 to ")
    assert found.names[0].endswith(" m")
    joined = torch.cat([one.flatten() for one in found.groups])
    measured = torch.cat([torch.from_numpy(files.pair(k)[1]).flatten() for k in (0, 1)])
    assert torch.equal(joined == NO_GROUP, measured == 0)
    counts = torch.bincount(joined[joined >= 0], minlength=8)
    assert counts.min() > 0.5 * counts.max()
    # Near is bright.
    assert measured[joined == 0].max() <= measured[joined == 7].min()
    assert sum(found.colors[0]) > sum(found.colors[7])


def test_equal_depths_are_one_range() -> None:
    assert range_edges(torch.full((9,), 2.0)).tolist() == [2, 2]
    assert range_edges(torch.zeros(0)).tolist() == [0, 0]
    assert len(range_colors(1)) == 1
