"""Quantized in place: the same names and keys, folded batch norms, gradients, and back to float."""

import copy
import pickle

import pytest
import torch
from tiny_quantized import TINY, Tensors, tiny_float, tiny_quantized
from torch import nn

from densekd.quantize import apply_plan, calibrate, make_plan, plan_of, quantizers, remove
from densekd.quantize.layers import integers_of, is_quantized


def test_names_and_weights_stay() -> None:
    model = tiny_float("pspnet")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    apply_plan(model, make_plan(model, torch.rand(1, 3, 64, 64)))
    calibrate(model, [torch.rand(2, 3, 64, 64)])
    after = model.state_dict()
    # Calibration runs in training mode, and leaves the statistics as they were.
    assert all(torch.equal(after[key], value) for key, value in before.items())
    added = set(after) - set(before)
    assert added
    assert all(key.endswith(("_quantizer.low", "_quantizer.high")) for key in added)
    assert [name for name, _ in model.named_parameters()] == names
    assert isinstance(model.backbone.layer1[0].conv1, nn.Conv2d)  # type: ignore[index,union-attr]
    # The auxiliary head is for the training alone.
    assert not any(is_quantized(module) for module in model.auxiliary.modules())  # type: ignore[union-attr,operator]
    remove(model)
    assert list(model.state_dict()) == list(before)
    assert plan_of(model) is None
    assert not any(is_quantized(module) for module in model.modules())


@pytest.mark.parametrize("steps", ["power-of-two", "free"])
@pytest.mark.parametrize("name", sorted(TINY))
def test_folded_equals_unfolded(name: str, steps: str) -> None:
    """Without grids of activations, int8 weights with batch norms beside them and inside them are the same function."""
    model = tiny_quantized(name, steps=steps).double()
    for quantizer in quantizers(model):
        quantizer.ready = False
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        folded = Tensors(model)(images)
        # Convolutions in training mode leave their norms' work to the norms, which use running statistics.
        for module in model.modules():
            fold = getattr(module, "fold", None)
            if fold is not None:
                fold.conv.training = True
        unfolded = Tensors(model)(images)
    for a, b in zip(folded, unfolded, strict=True):
        # Steps and folded biases are float32.
        assert (a - b).abs().max() <= 2e-6 * b.abs().max()


def test_integers_are_those_of_the_unfolded_weight_whatever_the_sign_of_gamma() -> None:
    model = tiny_quantized("fpn", steps="free")
    conv, norm = model.backbone.layer2[0].conv1, model.backbone.layer2[0].bn1  # type: ignore[index,union-attr]
    codes = integers_of(conv).codes
    weight = conv._parameters["weight"]
    plain = torch.round(weight / (weight.abs().amax((1, 2, 3), keepdim=True) / 127))
    turned = plain * norm.weight.sign()[:, None, None, None]
    # Channels whose bias is far above their weights have coarser steps.
    near = norm.weight.abs() > 0.05
    assert near.sum() > 10
    assert (codes[near] - turned[near]).abs().max() <= 1
    assert (codes[near] != turned[near]).float().mean() < 0.01
    assert not codes[norm.weight == 0].any()


def test_zero_gammas_learn() -> None:
    """timm's residual blocks begin with a zero gamma, where dividing by it would give NaN."""
    model = tiny_quantized("fpn")
    norm = model.backbone.layer1[0].bn2  # type: ignore[index,union-attr]
    with torch.no_grad():
        norm.weight.zero_()
    model.train()
    model(torch.rand(2, 3, 64, 64)).square().mean().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert norm.weight.grad.abs().max() > 0
    # The convolution before it learns as soon as gamma has moved.
    with torch.no_grad():
        norm.weight.add_(0.1)
    model(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert model.backbone.layer1[0].conv2._parameters["weight"].grad.abs().max() > 0  # type: ignore[index,union-attr]


def test_norms_in_evaluation_mode_alone_are_not_done_twice() -> None:
    """Frozen batch norms (norm_eval) beside convolutions in training mode."""
    model = tiny_quantized("fpn")
    images = torch.rand(2, 3, 64, 64)
    for quantizer in quantizers(model):
        quantizer.ready = False
    with torch.no_grad():
        expected = model(images)
        for module in model.modules():
            module.training = isinstance(module, nn.Conv2d)
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_copies_and_pickles() -> None:
    model = tiny_quantized("fpn")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(other(images), expected)
            # They share nothing.
            for parameter in other.parameters():
                parameter.zero_()
            assert torch.equal(model(images), expected)


def test_bfloat16_and_channels_last() -> None:
    model = tiny_quantized("fpn").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = model(images)
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        value = model(images)
    value.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert expected.isfinite().all()
