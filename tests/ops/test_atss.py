"""Assignment of anchors to boxes: mmdetection's stored results, a literal loop, and cases counted by hand."""

import pytest
import torch
from golden_models import FOLDER, stored
from torch import Tensor
from torchvision.ops import box_iou as torchvision_iou
from torchvision.ops import distance_box_iou

from densekd.ops.anchors import Anchors
from densekd.ops.atss import atss, valuable_region

GOLDEN = "mmdet_gfl_r50_fpn"
SIZES, STRIDES = ((16, 20), (8, 10), (4, 5), (2, 3), (1, 2)), (8, 16, 32, 64, 128)
PER_LEVEL = [h * w for h, w in SIZES]
BACKGROUND = 80


def anchors_of(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.cat(Anchors(STRIDES, (8.0,))([torch.zeros(1, 1, *size, dtype=dtype) for size in SIZES]))


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 100 - 5
    return torch.cat((corner, corner + 1 + torch.rand(count, 2, generator=generator, dtype=torch.float64) * 90), 1)


@pytest.mark.skipif(not (FOLDER / GOLDEN).is_dir(), reason=f"the golden set at hand has no {GOLDEN}")
def test_equals_mmdetection() -> None:
    golden = stored(GOLDEN)
    anchors = anchors_of()
    torch.testing.assert_close(anchors, golden["anchors"], rtol=0, atol=0)
    for i in range(2):
        boxes, labels = golden[f"gt.boxes.{i}"], golden[f"gt.labels.{i}"]
        index = atss(anchors, PER_LEVEL, boxes)
        positive = index >= 0
        assert positive.sum() > 0
        assert torch.equal(labels[index].where(positive, BACKGROUND), golden["target.labels"][i])
        assert torch.equal(boxes[index].where(positive[:, None], 0), golden["target.boxes"][i])


def nearest(anchors: Tensor, box: Tensor, top_k: int) -> list[int]:
    """Return the candidates of one box by sorting each level."""
    away = ((anchors[:, :2] + anchors[:, 2:] - box[:2] - box[2:]) / 2).square().sum(1).tolist()
    candidates, start = [], 0
    for size in PER_LEVEL:
        candidates += sorted(range(start, start + size), key=lambda a: away[a])[:top_k]
        start += size
    return candidates


def literal(anchors: Tensor, boxes: Tensor, top_k: int) -> list[int]:
    """Assign by loops over boxes and candidates."""
    best = [(-1.0, -1)] * len(anchors)
    iou = torchvision_iou(anchors, boxes)
    x, y = ((anchors[:, k] + anchors[:, k + 2]) / 2 for k in (0, 1))
    for n, box in enumerate(boxes):
        candidates = nearest(anchors, box, top_k)
        threshold = iou[candidates, n].mean() + iou[candidates, n].std()
        for a in candidates:
            inside = min(x[a] - box[0], y[a] - box[1], box[2] - x[a], box[3] - y[a]) > 0.01
            if iou[a, n] >= threshold and inside and iou[a, n] > best[a][0]:
                best[a] = (iou[a, n].item(), n)
    return [n for _, n in best]


@pytest.mark.parametrize(("count", "top_k"), [(1, 9), (6, 9), (12, 3)])
def test_equals_the_loop(count: int, top_k: int) -> None:
    anchors, boxes = anchors_of(torch.float64), random_boxes(count, count)
    index = atss(anchors, PER_LEVEL, boxes, top_k)
    assert index.dtype == torch.int64
    assert index.max() >= 0
    assert index.tolist() == literal(anchors, boxes, top_k)


def test_without_boxes_nothing_is_assigned() -> None:
    index = atss(anchors_of(), PER_LEVEL, torch.zeros(0, 4))
    assert index.dtype == torch.int64
    assert torch.equal(index, torch.full((428,), -1))


def test_a_center_on_the_border_is_outside() -> None:
    """One anchor around (40, 40) among eight far away, whose IoU is 0: the threshold is (1/9 + 1/3) of its own."""
    anchors = torch.tensor([[8.0, 8.0, 72.0, 72.0], *[[900.0, 900.0, 964.0, 964.0]] * 8])
    for shift, index in ((0.0, 0), (31.98, 0), (31.995, -1), (32.0, -1), (-31.98, 0), (-31.995, -1)):
        box = anchors[:1] + torch.tensor([shift, 0.0, shift, 0.0])
        for flipped in ([0, 1, 2, 3], [1, 0, 3, 2]):
            assert atss(anchors[:, flipped], [9], box[:, flipped]).tolist() == [index, *[-1] * 8]


def test_an_anchor_of_two_boxes_goes_to_the_closer_fit() -> None:
    boxes = torch.tensor([[0.0, 0.0, 80.0, 80.0], [8.0, 8.0, 72.0, 72.0]])
    for order in ([0, 1], [1, 0]):
        assert atss(anchors_of(), PER_LEVEL, boxes[order])[5 * 20 + 5] == order.index(1)


def test_a_pixel_and_nothing_at_all_are_boxes_too() -> None:
    """One pixel around the anchor center (40, 40); a box without area has no inside."""
    pixel, nothing = torch.tensor([[39.5, 39.5, 40.5, 40.5]]), torch.tensor([[40.0, 40.0, 40.0, 40.0]])
    index = atss(anchors_of(), PER_LEVEL, torch.cat((nothing, pixel)))
    assert index.unique().tolist() == [-1, 1]
    assert index[5 * 20 + 5] == 1


def test_the_valuable_region_equals_the_loop() -> None:
    """An anchor in the region of two boxes has the larger IoU."""
    anchors, boxes = anchors_of(torch.float64), random_boxes(6, 6)
    iou, diou = torchvision_iou(anchors, boxes), distance_box_iou(anchors, boxes)
    expected = [0.0] * len(anchors)
    for n, box in enumerate(boxes):
        overlaps = iou[nearest(anchors, box, 9), n]
        threshold = overlaps.mean() + overlaps.std()
        for a in range(len(anchors)):
            if threshold / 4 <= diou[a, n] < threshold:
                expected[a] = max(expected[a], iou[a, n].item())
    found = valuable_region(anchors, PER_LEVEL, boxes, 0.25)
    assert 20 < (found > 0).sum() < 400
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert not valuable_region(anchors, PER_LEVEL, boxes[:0], 0.25).any()
