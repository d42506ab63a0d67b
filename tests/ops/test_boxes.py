"""Areas, centers and overlaps of boxes: by hand, and against torchvision."""

import torch
from torch import Tensor
from torchvision import ops as torchvision_ops

from densekd.ops.boxes import box_area, box_centers, box_diou, box_intersection, box_iou, paired_iou

# Of these the first two share one pixel of seven, the third touches nothing.
BOXES = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 7]])


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 100
    return torch.cat((corner, corner + 1 + torch.rand(count, 2, generator=generator, dtype=torch.float64) * 90), 1)


def test_by_hand() -> None:
    assert box_area(BOXES).tolist() == [4, 4, 2]
    assert box_centers(BOXES).tolist() == [[1, 1], [2, 2], [5.5, 6]]
    assert box_intersection(BOXES, BOXES).tolist() == [[4, 1, 0], [1, 4, 0], [0, 0, 2]]
    torch.testing.assert_close(paired_iou(BOXES[:2], BOXES[1:]), torch.tensor([1 / 7, 0]))
    # Centers are sqrt(2) apart, the hull's diagonal is 3 sqrt(2).
    torch.testing.assert_close(box_diou(BOXES[:1], BOXES[1:2]), torch.tensor([[1 / 7 - 2 / 18]]))


def test_iou_equals_torchvision_bit_for_bit() -> None:
    a, b = random_boxes(70, 1).float(), random_boxes(50, 2).float()
    assert torch.equal(box_iou(a, b), torchvision_ops.box_iou(a, b))
    assert torch.equal(box_area(a), torchvision_ops.box_area(a))


def test_diou_equals_torchvision() -> None:
    a, b = random_boxes(7, 1), random_boxes(5, 2)
    torch.testing.assert_close(box_diou(a, b), torchvision_ops.distance_box_iou(a, b), rtol=1e-7, atol=1e-9)


def test_partners_are_the_diagonal() -> None:
    a, b = random_boxes(20, 3).float(), random_boxes(20, 4).float()
    assert torch.equal(paired_iou(a, b), box_iou(a, b).diagonal())


def test_boxes_without_area_overlap_nothing() -> None:
    """torchvision's IoU is NaN there."""
    nothing = torch.zeros(2, 4)
    assert box_iou(nothing[:1], nothing).tolist() == [[0, 0]]
    assert paired_iou(nothing, nothing).tolist() == [0, 0]
    assert box_diou(nothing, nothing).abs().max() == 0
