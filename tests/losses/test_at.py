"""Attention transfer: by hand, and what it does not see."""

import pytest
import torch
from torch import Tensor

from densekd.losses import at
from densekd.losses.at import AT, attention_map


def maps(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_by_hand() -> None:
    """Energies (9, 16) and (0, 1) over two positions: (9, 16) / sqrt(337) against (0, 1)."""
    student, teacher = torch.tensor([[[[3.0, -4.0]]]]), torch.tensor([[[[0.0, 5.0]], [[0.0, -2.0]]]])
    length = 337**0.5
    expected = ((9 / length) ** 2 + (16 / length - 1) ** 2) / 2
    assert AT()(student, teacher).item() == pytest.approx(expected, rel=1e-6)


def test_mean_by_hand() -> None:
    student, teacher = torch.tensor([[[[1.0, 5.0]], [[3.0, 1.0]]]]), torch.tensor([[[[4.0, -1.0]]]])
    assert AT("mean")(student, teacher).item() == pytest.approx(((2 - 4) ** 2 + (3 + 1) ** 2) / 2)


def test_a_map_has_length_one_per_image() -> None:
    attention = attention_map(maps(3, 5, 4, 6))
    assert attention.shape == (3, 24)
    torch.testing.assert_close(attention.norm(dim=1), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("large", [0, 1 << 20], ids=["in blocks", "whole"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def test_energy_in_every_layout(layout: torch.memory_format, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at, "_LARGE_NUMEL", large)
    monkeypatch.setattr(at, "BLOCK_NUMEL", 60)
    x = maps(2, 70, 4, 6).to(memory_format=layout).requires_grad_()
    energy = x.detach().clone().requires_grad_()
    plain = energy.square().mean(1).flatten(1) / energy.square().mean(1).flatten(1).norm(dim=1, keepdim=True)
    torch.testing.assert_close(attention_map(x), plain)
    upstream = maps(2, 24)
    (ours,) = torch.autograd.grad(attention_map(x), x, upstream)
    (wanted,) = torch.autograd.grad(plain, energy, upstream)
    torch.testing.assert_close(ours, wanted)


def test_signs_channel_order_and_scale_do_not_matter() -> None:
    student, teacher = maps(2, 5, 4, 6), maps(2, 8, 4, 6)
    value = AT()(student, teacher).item()
    assert value > 1e-3
    assert AT()(-7 * student.flip(1), 0.1 * teacher).item() == pytest.approx(value, rel=1e-12)


def test_dead_features_are_finite() -> None:
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    value = AT()(student, torch.ones(2, 3, 4, 4))
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == pytest.approx(1 / 16)
    assert gradient.abs().max().item() == 0


@pytest.mark.parametrize("attention", ["energy", "mean"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 5, 4), (2, 3, 20, 1)])
def test_other_sizes_are_refused(attention: str, shape: tuple[int, ...]) -> None:
    loss = AT(attention)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one shape but for the channels") as caught:
        loss(torch.ones(2, 6, 5, 4), torch.ones(shape))
    assert f"[2, 6, 5, 4] and {list(shape)}" in str(caught.value)
