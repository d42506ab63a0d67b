"""Kernels and formulas: which of them runs, and for whom."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import OptimizerConfig
from densekd.kernels import Kernels, channel_kl, dispatch, using
from densekd.kernels.channel_kl import channel_kl_reference
from densekd.models.dilated import deeplabv3, pspnet
from densekd.recipe import Recipe
from densekd.tasks import Segmentation


@dispatch.kernel(lambda: "reference")
def which() -> str:
    return "auto"


def test_reference_runs_the_formula_bit_for_bit() -> None:
    """The formula can be differentiated twice, the kernel cannot."""
    student, teacher = torch.randn(1, 2, 3, 4, requires_grad=True), torch.randn(1, 2, 3, 4)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(channel_kl(student, teacher).sum(), student, create_graph=True)
    with using("reference"):
        assert torch.equal(channel_kl(student, teacher), channel_kl_reference(student, teacher))
        torch.autograd.grad(channel_kl(student, teacher).sum(), student, create_graph=True)


def test_kernels_are_used_unless_a_recipe_says_otherwise() -> None:
    assert which() == "auto"
    assert Recipe.model_fields["kernels"].default == "auto"


def test_choices_nest() -> None:
    with using("reference"):
        assert which() == "reference"
        with using("auto"):
            assert which() == "auto"
            with using("auto"):
                pass
            assert which() == "auto"
        assert which() == "reference"
    assert which() == "auto"


def test_an_exception_restores_the_choice() -> None:
    with pytest.raises(ZeroDivisionError), using("reference"):
        raise ZeroDivisionError
    assert which() == "auto"


def test_another_value_is_refused() -> None:
    with pytest.raises(ValueError, match="kernels: 'triton' is not one of auto, reference"), using("triton"):  # type: ignore[arg-type]
        pass
    assert which() == "auto"


class Recorder(nn.Module):
    """A student that notes, at every forward pass, which implementation runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.taps = {"logits": "conv"}
        self.seen: list[str] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(which())
        logits: Tensor = self.conv(images)
        return logits


def test_two_distillers_in_one_process_each_have_their_choice() -> None:
    def make(kernels: Kernels) -> Distiller:
        config = OptimizerConfig("sgd", 0.1, 10)
        return Distiller(Recorder(), None, Segmentation(2, 255), {}, config, kernels=kernels)

    batch = {"images": torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "target": torch.zeros(1, 4, 4, dtype=torch.uint8)}
    formulas, kernels = make("reference"), make("auto")
    for _ in range(2):
        for distiller in (formulas, kernels):
            distiller.training_step(batch, 0)["loss"].backward()
            distiller.losses(batch, 1)
        assert which() == "auto"
    assert formulas.student.seen == ["reference"] * 4
    assert kernels.student.seen == ["auto"] * 4


@dispatch.kernel(lambda x: x + 1)
def doubled(x: Tensor) -> Tensor:
    """Not what its reference computes, so that one can tell them apart."""
    return x * 2


def test_a_compiled_function_follows_the_choice() -> None:
    """A graph that was traced under one choice is not run under the other; a choice may be made inside one."""
    x = torch.full((2,), 5.0)
    compiled = torch.compile(doubled, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        assert compiled(x).tolist() == [10, 10]
        with using("reference"):
            assert compiled(x).tolist() == [6, 6]

    @torch.compile(fullgraph=True, backend="aot_eager")
    def both(x: Tensor) -> Tensor:
        with using("reference"):
            y = doubled(x)
        return y + doubled(x)

    assert both(x).tolist() == [16, 16]
    assert dispatch._active == "auto"


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
