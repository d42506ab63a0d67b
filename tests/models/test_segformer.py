"""SegFormer: the two kinds of head written out, widths by name, unknown names."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densekd.errors import RecipeError
from densekd.models.segformer import SEGFORMERS, SegformerHead, segformer


@pytest.mark.parametrize("family", SEGFORMERS)
@torch.no_grad()
def test_head_written_out(family: str) -> None:
    torch.manual_seed(0)
    spec = SEGFORMERS[family]
    head = SegformerHead((2, 3, 4, 5), 6, 3, spec).eval()
    maps = [torch.rand(2, width, 16 >> k, 24 >> k) for k, width in enumerate((2, 3, 4, 5))]
    projected = []
    for projection, x in zip(head.projections, maps, strict=True):
        projected.append(F.interpolate(projection(x), size=(16, 24), mode="bilinear", align_corners=False))
    order = projected if family == "mmseg" else projected[::-1]
    fuse = head.bottleneck[0]
    hidden = head.bottleneck[1:](F.conv2d(torch.cat(order, 1), fuse.weight, fuse.bias))
    torch.testing.assert_close(head(maps), head.classifier(hidden), rtol=1e-4, atol=1e-5)
    assert all(isinstance(p, nn.Sequential) == (family == "mmseg") for p in head.projections)


def test_a_bias_that_joins_starts_at_zero() -> None:
    bias = SegformerHead((2, 3), 6, 3, SEGFORMERS["cirkd"]).bottleneck[0].bias
    assert bias is not None
    assert bias.requires_grad
    assert not bias.any()
    assert SegformerHead((2, 3), 6, 3, SEGFORMERS["nvlabs"]).bottleneck[0].bias is None


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, 256),
        ({"backbone": "mit_b2"}, 768),
        ({"backbone": "mit_b2", "family": "mmseg"}, 256),
        ({"backbone": "mit_b2", "channels": 32}, 32),
    ],
)
def test_default_width(options: dict[str, str], width: int) -> None:
    with torch.device("meta"):
        model = segformer(3, **options)  # type: ignore[arg-type]
    assert model.head.get_submodule("classifier").in_channels == width


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "mit_b6"}, r"Unknown backbone 'mit_b6' of SegFormer\. Did you mean 'mit_b"),
        ({"family": "nvlab"}, r"Unknown family 'nvlab' of SegFormer\. Did you mean 'nvlabs'\?"),
    ],
)
def test_unknown_names(options: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        segformer(3, **options)  # type: ignore[arg-type]
