"""Kernels and formulas: which of them runs."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from densekd.kernels import channel_kl, choice, choose
from densekd.kernels.channel_kl import channel_kl_reference
from densekd.models.dilated import deeplabv3, pspnet
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


def test_a_traced_graph_holds_plain_operations() -> None:
    model = pspnet(3, "resnet18_025", auxiliary_channels=0).eval()
    images = torch.rand(1, 3, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates tracing
        traced = torch.jit.trace(model, images)
    with torch.no_grad():
        torch.testing.assert_close(traced(images), model(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("build", [pspnet, deeplabv3])
def test_an_exported_graph_takes_any_batch(build: Callable[..., nn.Module]) -> None:
    model = build(3, "resnet18_025", auxiliary_channels=0).eval()
    shapes = {"images": {0: torch.export.Dim("batch", min=1, max=16)}}
    exported = torch.export.export(model, (torch.rand(2, 3, 64, 64),), dynamic_shapes=shapes)
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(images), model(images), rtol=0, atol=1e-5)
