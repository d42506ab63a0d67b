"""Swin: windows against timm's block where sizes divide, and tokens that must not meet where they do not."""

import pytest
import torch
from timm.models.swin_transformer import PatchMerging as TimmMerging
from timm.models.swin_transformer import SwinTransformerBlock

from densekd.models.swin import SWINS, PatchMerging, Swin, SwinBlock, WindowAttention


def block(shift: int, window: int = 4) -> SwinBlock:
    torch.manual_seed(0)
    made = SwinBlock(8, 2, window, shift, 0.0).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


@pytest.mark.parametrize("shift", [0, 2])
@torch.no_grad()
def test_equals_timm_where_windows_divide_the_map(shift: int) -> None:
    ours = block(shift)
    theirs = SwinTransformerBlock(8, (8, 12), num_heads=2, window_size=4, shift_size=shift).eval()
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not unexpected
    assert all("relative_position_index" in key or "attn_mask" in key for key in missing)
    x = torch.rand(2, 8, 12, 8)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("shift", [0, 2])
def test_a_token_sees_its_window_alone(shift: int) -> None:
    """Sizes do not divide: a window ends at the map's border, and nothing wraps around."""
    attend = block(shift)._attend
    x = torch.rand(1, 6, 9, 8, requires_grad=True)
    y = attend(x)
    for row, column in ((0, 0), (1, 3), (5, 8), (3, 2)):
        (gradient,) = torch.autograd.grad(y[0, row, column].sum(), x, retain_graph=True)
        seen = gradient[0].abs().sum(2) > 0
        # Windows start at -2, 2, 6, ... when they are displaced by 2.
        rows = torch.arange(6).add(shift).div(4, rounding_mode="floor")
        columns = torch.arange(9).add(shift).div(4, rounding_mode="floor")
        same = (rows == rows[row])[:, None] & (columns == columns[column])
        assert torch.equal(seen, same), (row, column)


def test_relative_positions() -> None:
    """The table's entry for two tokens depends on how far apart they are, and on nothing else."""
    window = 3
    index = WindowAttention(4, 2, window).relative_position_index
    apart = {}
    for a in range(window**2):
        for b in range(window**2):
            offset = (a // window - b // window, a % window - b % window)
            assert apart.setdefault(offset, index[a, b].item()) == index[a, b].item()
    assert sorted(apart.values()) == list(range((2 * window - 1) ** 2))
    assert apart[0, 0] == 12
    assert apart[1, 0] == 12 + 5


@torch.no_grad()
def test_patch_merging_equals_timm() -> None:
    ours, theirs = PatchMerging(8).eval(), TimmMerging(8).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 6, 10, 8)
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours(x[:, :5, :9]).shape == (2, 3, 5, 16)


def test_maps_of_any_size() -> None:
    model = Swin("swin_tiny").eval()
    with torch.no_grad():
        maps = model(torch.rand(1, 3, 70, 101))
    assert [tuple(x.shape[1:]) for x in maps] == [(96, 18, 26), (192, 9, 13), (384, 5, 7), (768, 3, 4)]


@pytest.mark.parametrize("name", SWINS)
def test_depths_shifts_and_rates(name: str) -> None:
    with torch.device("meta"):
        model = Swin(name, drop_path=0.3)
    size = SWINS[name]
    blocks = [one for stage in model.stages for one in stage]
    assert tuple(len(stage) for stage in model.stages) == size.depths
    assert {one.shift for one in blocks[::2]} == {0}
    assert {one.shift for one in blocks[1::2]} == {size.window // 2}
    rates = [one.drop_path.drop_prob for one in blocks]
    assert rates == pytest.approx([0.3 * k / (len(blocks) - 1) for k in range(len(blocks))])
