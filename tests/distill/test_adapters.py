"""Adapters by name, and the context block against its formula, position by position."""

import pytest
import torch

from densekd.distill.adapters import ADAPTERS, GraphContext, graph_context_conv
from densekd.errors import RecipeError
from densekd.registry import construct, resolve


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


@pytest.mark.parametrize(
    ("kind", "parameters", "buffers"),
    [
        ("none", {}, {}),
        ("conv", {"weight": (8, 5, 1, 1)}, {}),
        (
            "conv-bn-relu",
            {"0.weight": (8, 5, 1, 1), "1.weight": (8,), "1.bias": (8,)},
            {"1.running_mean": (8,), "1.running_var": (8,), "1.num_batches_tracked": ()},
        ),
    ],
)
def test_adapters(kind: str, parameters: dict[str, tuple[int, ...]], buffers: dict[str, tuple[int, ...]]) -> None:
    supplied = {"student_channels": 5, "teacher_channels": 8}
    adapter = construct(resolve(kind, ADAPTERS, "adapter"), {}, supplied, "here")
    assert {name: tuple(value.shape) for name, value in adapter.named_parameters()} == parameters
    assert {name: tuple(value.shape) for name, value in adapter.named_buffers()} == buffers
    x = torch.randn(2, 5, 3, 4)
    y = adapter(x)
    assert y.shape == ((2, 5, 3, 4) if kind == "none" else (2, 8, 3, 4))
    assert (y.min().item() == 0) == (kind == "conv-bn-relu")
    assert (y is x) == (kind == "none")


def test_a_context_and_a_convolution() -> None:
    x = torch.randn(2, 6, 5, 4)
    adapter = graph_context_conv(6, 9).eval()
    assert adapter(x).shape == (2, 9, 5, 4)
    torch.testing.assert_close(adapter(x), adapter[1](adapter[0](x)))


def test_an_option_of_an_adapter() -> None:
    supplied = {"student_channels": 5, "teacher_channels": 8}
    assert construct(ADAPTERS["conv"], {"bias": True}, supplied, "here").bias.shape == (8,)
    with pytest.raises(RecipeError, match=r"^here\.bias: true or false, got 1\.$"):
        construct(ADAPTERS["conv"], {"bias": 1}, supplied, "here")
