"""Boxes on a map, painted by hand."""

import torch
from torch import Tensor

from densekd.ops.box_masks import box_masks, padded_extent


def painted(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return both masks of an image of 40 x 50 on a map of 4 x 5."""
    inside, outside = box_masks([boxes], torch.tensor([[40, 50]]), torch.zeros(1, 2, 4, 5))
    return inside[0], outside[0]


def test_one_box_covers_floor_to_ceiling() -> None:
    """On the map x from 11 / 10 to 29 / 10 covers 1, 2, 3; y from 10 / 10 to 20 / 10 covers 1 and 2."""
    inside, outside = painted(torch.tensor([[11.0, 10.0, 29.0, 20.0]]))
    expected = torch.zeros(4, 5)
    expected[1:3, 1:4] = 1 / 6
    torch.testing.assert_close(inside, expected)
    torch.testing.assert_close(outside, (expected == 0).float() / 14)


def test_the_smaller_of_two_boxes_stays_whatever_their_order() -> None:
    large, small = [0.0, 0.0, 50.0, 40.0], [10.0, 10.0, 20.0, 20.0]
    for order in ([large, small], [small, large]):
        inside, outside = painted(torch.tensor(order))
        # The large one reaches to row 4 and column 5, which the map does not have, and is measured with them.
        expected = torch.full((4, 5), 1 / 30)
        expected[1:3, 1:3] = 1 / 4
        torch.testing.assert_close(inside, expected)
        assert not outside.any()


def test_without_boxes_all_is_outside() -> None:
    inside, outside = painted(torch.zeros(0, 4))
    assert not inside.any()
    torch.testing.assert_close(outside, torch.full((4, 5), 1 / 20))


def test_each_image_is_measured_by_its_own_size() -> None:
    box = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    inside, _ = box_masks([box, box], torch.tensor([[40, 40], [20, 20]]), torch.zeros(2, 1, 4, 4))
    assert [(mask > 0).sum().item() for mask in inside] == [4, 9]


def test_all_images_are_padded_to_the_largest() -> None:
    """Each axis by itself, to the next multiple of 32; 64 is one."""
    assert padded_extent(torch.tensor([[33, 50], [10, 64]])).tolist() == [[64, 64]] * 2
    assert padded_extent(torch.tensor([[65, 1]])).tolist() == [[96, 32]]
