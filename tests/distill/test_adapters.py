"""The context block against its formula, position by position."""

import pytest
import torch

from densekd.distill.adapters import GraphContext


def test_every_position_looks_at_all_others() -> None:
    torch.manual_seed(0)
    block = GraphContext(6).double()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    q, k, v = (conv(x).flatten(2) for conv in (block.query, block.key, block.value))
    attended = torch.zeros_like(v)
    for b in range(2):
        for i in range(12):
            scores = torch.stack([q[b, :, i] @ k[b, :, j] for j in range(12)]) * 3**-0.5
            attended[b, :, i] = sum(share * v[b, :, j] for j, share in enumerate(scores.softmax(0)))
    expected = block.fuse(torch.cat([x, block.context(attended.view(2, 3, 3, 4))], 1))
    torch.testing.assert_close(block(x), expected)


def test_keeps_the_shape_and_learns() -> None:
    block = GraphContext(8)
    x = torch.randn(2, 8, 5, 6, requires_grad=True)
    y = block(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())
    assert [tuple(c.weight.shape[:2]) for c in (block.query, block.key, block.value)] == [(4, 8)] * 3
    assert block.query.bias is None


def test_unchanged_under_channels_last() -> None:
    block = GraphContext(8).eval()
    x = torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(block(x.to(memory_format=torch.channels_last)), block(x))


@pytest.mark.parametrize("channels", [0, 1, 7])
def test_channels_are_halved(channels: int) -> None:
    with pytest.raises(ValueError, match=f"even number of channels, got {channels}"):
        GraphContext(channels)
