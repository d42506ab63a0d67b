"""Feature pyramid: sums from coarse to fine, and the levels beyond the backbone's maps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densekd.models.detection.neck import FPN, Extra


def features() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.rand(2, width, 16 >> k, 24 >> k) for k, width in enumerate((3, 5, 7))]


@pytest.mark.parametrize("extra", ["on_input", "on_output", "pool"])
def test_levels(extra: Extra) -> None:
    maps = features()
    neck = FPN([3, 5, 7], 4, 5, extra)
    levels = neck(maps)
    assert [tuple(x.shape[1:]) for x in levels] == [(4, 16, 24), (4, 8, 12), (4, 4, 6), (4, 2, 3), (4, 1, 2)]
    # The finest level, written out.
    middle = neck.lateral[1](maps[1]) + F.interpolate(neck.lateral[2](maps[2]), size=(8, 12))
    finest = neck.lateral[0](maps[0]) + F.interpolate(middle, size=(16, 24))
    torch.testing.assert_close(levels[0], neck.output[0](finest))
    beyond = {
        "on_input": lambda: neck.coarser[0](maps[2]),
        "on_output": lambda: neck.coarser[0](levels[2]),
        "pool": lambda: levels[2][:, :, ::2, ::2],
    }
    torch.testing.assert_close(levels[3], beyond[extra]())


def test_all_convolutions_start_without_bias() -> None:
    convolutions = [m for m in FPN([3, 5], 4, 4, "on_input").modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 6
    assert all(conv.bias is not None and not conv.bias.any() for conv in convolutions)


@pytest.mark.parametrize("channels_last", [False, True])
def test_in_mixed_precision_the_gradient_of_narrow_maps_is_that_of_float32(channels_last: bool) -> None:
    neck = FPN([8, 8], 16, levels=4, extra="on_output")
    if channels_last:
        neck = neck.to(memory_format=torch.channels_last)
    # Levels of 4, 2, 1 and 1 columns: the last convolution reads a map that is one wide.
    features = [torch.randn(3, 8, 4, 4), torch.randn(3, 8, 2, 2)]
    for _ in range(20):
        neck.zero_grad()
        # What lies in memory is not a number.
        dirty = [torch.full((size,), float("nan")) for size in (500, 2304, 5000, 40000)]
        del dirty
        with torch.autocast("cpu", torch.bfloat16):
            coarsest = neck(features)[-1]
        coarsest.sum().backward()
        assert coarsest.dtype == torch.float32
        last = neck.coarser[-1].get_parameter("weight").grad
        assert last is not None
        # The taps beside the only column see nothing but padding.
        assert last[..., 1, 1].any()
        assert not last[..., 0].any()
        assert not last[..., 2].any()
