"""Transformers in published files: sizes told apart, and the order of merged patches."""

import pytest
import torch
import torch.nn.functional as F

from densekd.models.checkpoints.transformers import original_merging, which_mit, which_swin
from densekd.models.mit import MITS
from densekd.models.swin import SWINS, PatchMerging


@pytest.mark.parametrize("name", MITS)
def test_mix_transformers(name: str) -> None:
    widths, depths = MITS[name]
    state = {"embed.weight": torch.zeros(widths[0], 3, 7, 7)}
    for stage, depth in enumerate(depths, start=1):
        state |= {f"block{stage}.{k}.norm.weight": torch.zeros(1) for k in range(depth)}
    assert which_mit(state, "embed.weight", r"block{}\.(\d+)\..*", first=1) == name
    assert which_mit(state, "other.weight", r"block{}\.(\d+)\..*", first=1) is None
    del state["block3.0.norm.weight"]
    assert which_mit(state, "embed.weight", r"block{}\.(\d+)\..*", first=1) is None


@pytest.mark.parametrize("name", SWINS)
def test_swins(name: str) -> None:
    size = SWINS[name]
    state = {
        "embed.weight": torch.zeros(size.width, 3, 4, 4),
        "table": torch.zeros((2 * size.window - 1) ** 2, size.heads[0]),
    }
    for stage, depth in enumerate(size.depths):
        state |= {f"layers.{stage}.blocks.{k}.norm.weight": torch.zeros(1) for k in range(depth)}
    assert which_swin(state, "embed.weight", "table", r"layers\.{}\.blocks\.(\d+)\..*") == name
    assert which_swin(state, "embed.weight", "no table", r"layers\.{}\.blocks\.(\d+)\..*") is None


@torch.no_grad()
def test_mmsegs_merging_gives_the_same_map() -> None:
    """mmsegmentation unfolds patches of 2 x 2, channel by channel, before its norm and its linear layer."""
    torch.manual_seed(0)
    dim, x = 3, torch.rand(1, 6, 8, 3)
    theirs = {"downsample.norm.weight": torch.rand(4 * dim), "downsample.norm.bias": torch.rand(4 * dim)}
    theirs["downsample.reduction.weight"] = torch.rand(2 * dim, 4 * dim)
    unfolded = F.unfold(x.permute(0, 3, 1, 2), 2, stride=2).mT
    normed = F.layer_norm(unfolded, (4 * dim,), theirs["downsample.norm.weight"], theirs["downsample.norm.bias"])
    expected = (normed @ theirs["downsample.reduction.weight"].T).view(1, 3, 4, 2 * dim)
    state = {f"stages.0.{key}": value for key, value in theirs.items()} | {"other.norm.weight": torch.arange(4.0)}
    ours = original_merging(state)
    assert ours["other.norm.weight"].tolist() == [0, 1, 2, 3]
    merging = PatchMerging(dim)
    merging.load_state_dict({key.removeprefix("stages.0.downsample."): ours[key] for key in ours if "0." in key})
    torch.testing.assert_close(merging(x), expected)
