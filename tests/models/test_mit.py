"""Mix transformers: sizes, epsilons, stochastic depth."""

import pytest
import torch
from timm.layers import DropPath
from torch import nn

from densekd.models.mit import MITS, MixTransformer

# Parameters of the published encoders in millions (NVlabs, table 1 of the paper).
MILLIONS = {"mit_b0": 3.3, "mit_b1": 13.2, "mit_b2": 24.2, "mit_b3": 44.1, "mit_b4": 60.8, "mit_b5": 81.4}


@pytest.mark.parametrize("name", MITS)
def test_parameters(name: str) -> None:
    with torch.device("meta"):
        model = MixTransformer(name, 1e-5)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(MILLIONS[name], abs=0.06)


def test_maps_of_any_size() -> None:
    maps = MixTransformer("mit_b0", 1e-5).eval()(torch.rand(1, 3, 65, 97))
    assert [tuple(x.shape[1:]) for x in maps] == [(32, 17, 25), (64, 9, 13), (160, 5, 7), (256, 3, 4)]


def test_norms_of_patches_and_reductions_alone_have_the_familys_epsilon() -> None:
    model = MixTransformer("mit_b0", 1e-3)
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            found[name] = module.eps
    changed = {name for name, eps in found.items() if eps == 1e-3}
    assert changed == {name for name in found if "patch_embed" in name or "downsample" in name or "attn.norm" in name}
    assert {found[name] for name in set(found) - changed} == {1e-6}


def test_stochastic_depth_rises() -> None:
    rates = [m.drop_prob for m in MixTransformer("mit_b0", 1e-5, drop_path=0.7).modules() if isinstance(m, DropPath)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.7)
