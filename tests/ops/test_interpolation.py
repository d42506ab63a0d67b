"""Bilinear interpolation row by row against ``F.interpolate`` and its gradient."""

import pytest
import torch
import torch.nn.functional as F
from kernel_cases import CORNERS, SIZES, Sizes

from densekd.ops import interpolation
from densekd.ops.interpolation import Upsample, UpsampleBackward, UpsampledRows, resize, source_indices

BLOCKS = pytest.mark.parametrize("numel", [1, 60, 1 << 17])


@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_source_indices_interpolate_one_axis(sizes: Sizes, align_corners: bool) -> None:
    source, target = sizes[0][0], sizes[2][0]
    x = torch.randn(source, dtype=torch.float64)
    ours = [x[i] + (x[j] - x[i]) * weight for i, j, weight in source_indices(source, target, align_corners)]
    wanted = F.interpolate(x[None, None], target, mode="linear", align_corners=align_corners)[0, 0]
    torch.testing.assert_close(torch.stack(ours), wanted)


@pytest.fixture(params=[0, 1 << 14], ids=["row by row", "short rows together"], autouse=True)
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of how many numbers are blended with those beside them."""
    monkeypatch.setattr(interpolation, "_SHORT_NUMEL", request.param)
    interpolation._rows_between.cache_clear()


@BLOCKS
@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_rows_equal_the_upsampled_map(
    sizes: Sizes, align_corners: bool, numel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpolation, "BLOCK_NUMEL", numel)
    x = torch.randn(3, *sizes[0], dtype=torch.float64)
    upsample = Upsample(sizes[2], align_corners)
    rows = UpsampledRows(x, upsample, 0.5)
    out = torch.empty(sizes[2][0], 3, sizes[2][1], dtype=torch.float64)
    for block in upsample.row_blocks(3):
        rows.read(block, out[block.start : block.stop])
    wanted = F.interpolate(x[None], sizes[2], mode="bilinear", align_corners=align_corners)[0] / 2
    torch.testing.assert_close(out, wanted.transpose(0, 1))


@BLOCKS
@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_backward_pass_equals_autograd(
    sizes: Sizes, align_corners: bool, numel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpolation, "BLOCK_NUMEL", numel)
    x = torch.randn(3, *sizes[0], dtype=torch.float64, requires_grad=True)
    upsample = Upsample(sizes[2], align_corners)
    upstream = torch.randn(3, *sizes[2], dtype=torch.float64)
    grad = torch.full((3, *sizes[0]), torch.nan, dtype=torch.float64)
    backward = UpsampleBackward(grad, upsample)
    for block in upsample.row_blocks(3):
        backward.add(block, upstream[:, block.start : block.stop].transpose(0, 1))
    (wanted,) = torch.autograd.grad(upsample(x[None])[0], x, upstream)
    torch.testing.assert_close(grad, wanted)


def test_row_blocks_cover_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpolation, "BLOCK_NUMEL", 60)
    blocks = list(Upsample((7, 10)).row_blocks(2))
    assert [len(block) for block in blocks] == [3, 3, 1]
    assert [y for block in blocks for y in block] == list(range(7))
    assert Upsample((7, 10)).block_rows(2) == 3


def test_a_map_of_the_size_is_returned_itself() -> None:
    x = torch.randn(1, 2, 3, 4, dtype=torch.bfloat16)
    assert resize(x, (3, 4)) is x
    assert resize(x, (6, 8)).dtype == torch.bfloat16
    assert Upsample((6, 8))(x).dtype == torch.float32
