"""Expected distances: known distributions, and the boxes of mmdetection."""

import pytest
import torch
from golden_models import FOLDER, stored

from densekd.ops.integral import integral

GOLDEN = "mmdet_gfl_r50_fpn"


def test_certain_and_undecided() -> None:
    """All mass on one bin gives the bin, a uniform distribution over 0..n gives n / 2, half and half the middle."""
    logits = torch.zeros(2, 4, 5)
    logits[0, 0, 3] = 1e4
    logits[0, 1] = torch.tensor([2.0, 2.0, -1e4, -1e4, -1e4])
    torch.testing.assert_close(integral(logits.flatten(1)), torch.tensor([[3.0, 0.5, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0]]))


@pytest.mark.skipif(not (FOLDER / GOLDEN).is_dir(), reason=f"the golden set at hand has no {GOLDEN}")
def test_equals_mmdetection() -> None:
    """Boxes are the anchors' centers less and plus the distances, in strides."""
    golden = stored(GOLDEN)
    start = 0
    for level, stride in enumerate((8, 16, 32, 64, 128)):
        distances = integral(golden[f"out.reg.{level}"].flatten(2).mT) * stride
        end = start + distances.shape[1]
        centers = (golden["anchors"][start:end, :2] + golden["anchors"][start:end, 2:]) / 2
        boxes = torch.cat((centers - distances[..., :2], centers + distances[..., 2:]), 2)
        expected = golden["out.boxes_all"][:, start:end]
        torch.testing.assert_close(boxes, expected, rtol=0, atol=1e-6 * expected.abs().max().item())
        start = end
    assert start == 428
