"""Backbones: what the families change, widths, strides and names."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from densekd.errors import RecipeError
from densekd.models.backbones import BACKBONES, make_backbone
from densekd.models.families import FAMILIES


def dilations(resnet: nn.Module) -> dict[str, list[int]]:
    """Return, for each block of the dilated stages, the dilations of its 3x3 convolutions."""
    blocks = {f"{stage}.{k}": block for stage in ("layer3", "layer4")
              for k, block in resnet.get_submodule(stage).named_children()}  # fmt: skip
    return {
        name: [c.dilation[0] for c in block.children() if isinstance(c, nn.Conv2d) and c.kernel_size == (3, 3)]
        for name, block in blocks.items()
    }


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("mmseg", [[1, 1], [2, 1], [2, 1], [4, 1]]),
        ("cirkd", [[1, 2], [2, 2], [2, 4], [4, 4]]),
        ("torchdistiller", [[2, 2], [2, 2], [4, 4], [4, 4]]),
    ],
)
def test_dilations_of_resnet18(family: str, expected: list[list[int]]) -> None:
    found = dilations(make_backbone("resnet18", FAMILIES[family], 8).module)
    assert found == dict(zip(("layer3.0", "layer3.1", "layer4.0", "layer4.1"), expected, strict=True))


@pytest.mark.parametrize("family", ["mmseg", "cirkd"])
def test_dilations_of_resnet50(family: str) -> None:
    with torch.device("meta"):
        found = dilations(make_backbone("resnet50", FAMILIES[family], 8).module)
    assert list(found.values()) == [[1], *[[2]] * 5, [2], [4], [4]]


def test_padding_keeps_the_size_of_every_dilated_convolution() -> None:
    for family in FAMILIES.values():
        for conv in make_backbone("resnet18_025", family, 8).module.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                assert conv.padding == conv.dilation


@pytest.mark.parametrize(
    ("family", "stem", "layer1_shortcut", "ceil"),
    [("mmseg", [32, 32, 64], False, False), ("cirkd", [64, 64, 128], True, False),
     ("torchdistiller", [64, 64, 128], True, True)],
)  # fmt: skip
def test_stems(family: str, stem: list[int], layer1_shortcut: bool, ceil: bool) -> None:
    body = make_backbone("resnet18", FAMILIES[family], 8).module
    widths = [m.out_channels for m in body.get_submodule("conv1").modules() if isinstance(m, nn.Conv2d)]
    assert widths == stem
    assert any(name.startswith("layer1.0.downsample") for name, _ in body.named_parameters()) == layer1_shortcut
    size = body(torch.rand(1, 3, 64, 96))[0].shape[-2:]
    assert size == ((17, 25) if ceil else (16, 24))


def resnet18_parameters(w: int) -> int:
    """Count by hand: a deep stem (w/2, w/2, w), then two basic blocks each of w, 2w, 4w, 8w channels."""
    stem = 9 * (3 * w // 2 + (w // 2) ** 2 + w // 2 * w) + 2 * (w // 2 + w // 2 + w)
    widths = [w, w, 2 * w, 4 * w, 8 * w]
    stages = sum(9 * (i * o + 3 * o * o) + 8 * o for i, o in pairwise(widths))
    shortcuts = sum(i * o + 2 * o for i, o in pairwise(widths[1:]))
    return stem + stages + shortcuts


@pytest.mark.parametrize(("name", "w"), [("resnet18", 64), ("resnet18_050", 32), ("resnet18_025", 16)])
def test_widths(name: str, w: int) -> None:
    with torch.device("meta"):
        module, channels = make_backbone(name, FAMILIES["mmseg"], 8)
    assert channels == [w, 2 * w, 4 * w, 8 * w]
    assert sum(p.numel() for p in module.parameters()) == resnet18_parameters(w)


@pytest.mark.parametrize("name", ["resnet18_025", "mobilenetv3_small_050"])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_strides(name: str, stride: int) -> None:
    module, channels = make_backbone(name, FAMILIES["mmseg"], stride)
    features = module.eval()(torch.rand(1, 3, 64, 96))
    strides = [64 // f.shape[2] for f in features]
    assert strides == [min(s, stride) for s in (4, 8, 16, 32)]
    assert [f.shape[1] for f in features] == channels


def test_every_name_builds() -> None:
    for name in BACKBONES:
        with torch.device("meta"):
            assert len(make_backbone(name, FAMILIES["mmseg"], 32).channels) == 4


def test_unknown_name() -> None:
    with pytest.raises(
        RecipeError, match=r"Unknown backbone 'resnet-18'. Did you mean 'resnet18'\? Known: .*resnet101"
    ):
        make_backbone("resnet-18", FAMILIES["mmseg"], 8)
