"""Kernels and formulas: which of them runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from densekd.kernels import channel_kl, choice, choose
from densekd.kernels.channel_kl import channel_kl_reference
from densekd.recipe import Recipe


@pytest.fixture(autouse=True)
def _kernels() -> Iterator[None]:
    yield
    choose("auto")


def test_reference_runs_the_formula_bit_for_bit() -> None:
    """The formula can be differentiated twice, the kernel cannot."""
    student, teacher = torch.randn(1, 2, 3, 4, requires_grad=True), torch.randn(1, 2, 3, 4)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(channel_kl(student, teacher).sum(), student, create_graph=True)
    choose("reference")
    assert torch.equal(channel_kl(student, teacher), channel_kl_reference(student, teacher))
    torch.autograd.grad(channel_kl(student, teacher).sum(), student, create_graph=True)


def test_kernels_are_used_unless_a_recipe_says_otherwise(tmp_path: Path) -> None:
    assert choice._chosen == "auto"
    assert Recipe.model_fields["kernels"].default == "auto"
