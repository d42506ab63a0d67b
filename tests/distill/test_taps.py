"""Taps read what they name, say what is wrong, and leave no trace."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from densekd.distill.taps import Taps
from densekd.errors import RecipeError


class Net(nn.Module):
    """One convolution, a head that runs on two levels, and outputs of every kind."""

    taps = {"logits": "head@1", "features.0": "split[0]", "double": "head"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.body = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.split = Split()
        self.named = Named()
        self.head = nn.Conv2d(2, 5, 1)
        self.idle = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.body.get_parameter("1.bias"))

    def forward(self, images: Tensor) -> Tensor:
        left, right = self.split(self.body(self.stem(images)))
        self.named(left)
        return self.head(left) + self.head(right)


class Split(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.chunk(2, dim=1)


class Named(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"out": x + 1, "aux": x - 1, "size": 3, "all": [x]}


IMAGES = torch.rand(2, 3, 6, 7)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def failure(model: nn.Module, path: str) -> str:
    with pytest.raises(RecipeError) as caught:
        Taps(model, [path])(IMAGES)
    assert f"'{path}'" in str(caught.value)
    return str(caught.value)


def test_reads_modules_calls_and_items(net: Net) -> None:
    paths = ["stem", "body.2", "head@0", "head@1", "split[1]", "named[out]", "named[aux]", "logits", "features.0", ""]
    output, read = Taps(net, paths)(IMAGES)
    stem = net.stem(IMAGES)
    left, right = net.body(stem).chunk(2, dim=1)
    expected = {
        "stem": stem, "body.2": torch.cat([left, right], 1), "head@0": net.head(left), "head@1": net.head(right),
        "split[1]": right, "named[out]": left + 1, "named[aux]": left - 1,
        "logits": net.head(right), "features.0": left, "": net(IMAGES),
    }  # fmt: skip
    assert list(read) == paths
    for path, tensor in expected.items():
        torch.testing.assert_close(read[path], tensor, rtol=0, atol=0)
    torch.testing.assert_close(output, net(IMAGES), rtol=0, atol=0)


def test_logits_is_the_output_of_a_model_without_short_names() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1))
    output, read = Taps(model, ["logits", "0"])(IMAGES)
    assert read["logits"] is output
    assert output.shape == (2, 2, 6, 7)


def test_gradient_flows_through_a_tap(net: Net) -> None:
    Taps(net, ["body.2"])(IMAGES)[1]["body.2"].sum().backward()
    assert net.stem.weight.grad is not None
    assert net.stem.weight.grad.abs().sum().item() > 0
    assert net.head.weight.grad is None


def test_several_calls_need_a_choice_that_works(net: Net) -> None:
    message = failure(net, "double")
    assert "fired 2 times" in message
    assert "head@0, head@1" in message
    assert Taps(net, ["head@0", "head@1"])(IMAGES)[1].keys() == {"head@0", "head@1"}


def test_several_calls_of_a_tuple_list_whole_paths() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.split = Split()

        def forward(self, x: Tensor) -> Tensor:
            return self.split(x)[0] + self.split(x + 1)[0]

    assert "split@0[1], split@1[1]" in failure(Twice(), "split[1]")
    assert Taps(Twice(), ["split@1[0]"])(IMAGES)[1]["split@1[0]"].shape == (2, 2, 6, 7)


def test_a_call_that_did_not_happen(net: Net) -> None:
    message = failure(net, "head@2")
    assert "no call 2" in message
    assert "ran 2 times" in message
    assert "@1" in message


def test_a_module_that_did_not_run(net: Net) -> None:
    assert "did not run" in failure(net, "idle")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("split", ["a tuple of 2", "[0] to [1]"]),
        ("split[2]", ["no item '2'", "a tuple of 2", "[0] to [1]"]),
        ("split[left]", ["no item 'left'", "a tuple of 2"]),
        ("named", ["a dict", "out, aux, size, all", "[out]|[aux]"]),
        ("named[logits]", ["no item 'logits'", "out, aux, size, all"]),
        ("named[size]", ["one int", "not a tensor"]),
        ("named[all]", ["a list of 1", "not a tensor"]),
        ("stem[0]", ["one Tensor", "no item '0'", "leave out '[0]'"]),
    ],
)
def test_items(net: Net, path: str, parts: list[str]) -> None:
    message = failure(net, path)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("body.7", ["no module 'body.7'", "Modules in 'body': 0, 1, 2; nearest: 'body.2'"]),
        ("bodi", ["no module 'bodi'", "Modules in 'the model': stem, body, split, named, head, idle"]),
        ("feature.0", ["Did you mean 'features.0'?", "double, features.0, logits"]),
        ("head.conv.weight", ["no module 'head.conv.weight'", "Modules in 'head': none"]),
        ("head[", ["malformed", "module[@call][[item]]"]),
        ("head[0]@1", ["malformed", "'head.conv@2[0]'"]),
    ],
)
def test_unknown_paths_are_found_before_any_forward(net: Net, path: str, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        Taps(net, [path])
    assert all(part in str(caught.value) for part in [f"'{path}'", *parts]), caught.value


def test_the_nearest_child_is_named(net: Net) -> None:
    with pytest.raises(RecipeError, match=r"nearest: 'stem'\."):
        Taps(net, ["stm"])
    with pytest.raises(RecipeError, match=r"Modules in 'layer3\.1': conv1, .*; nearest: 'layer3\.1\.conv2'\."):
        Taps(timm.create_model("resnet18"), ["layer3.1.conv22"])


def test_hooks_live_only_inside_the_call(net: Net) -> None:
    taps = Taps(net, ["stem", "head@0"])
    assert hooks(net) == 0
    inside = []
    net.idle.register_forward_pre_hook(lambda *_: inside.append(hooks(net)))
    net.named.forward = lambda x: net.idle(x[:, :1])  # type: ignore[method-assign]
    taps(IMAGES)
    assert inside == [3]
    assert hooks(net) == 1


def test_hooks_are_gone_after_an_exception(net: Net) -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        Taps(net, ["stem", "head@0"])(torch.rand(2, 5, 6, 7))
    assert hooks(net) == 0
    assert Taps(net, ["stem"])(IMAGES)[1]["stem"].shape == (2, 4, 6, 7)


class Halves(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x[:, :1], x[:, 1:]]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.pair = Halves()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        self.pair(y)[1].mul_(2)
        y += x
        return y


@pytest.mark.parametrize(
    ("make", "path", "fix"),
    [
        (Net, "body.1", "body.2"),
        (Residual, "norm", ""),
        (Residual, "pair[1]", ""),
        (lambda: timm.create_model("resnet18"), "layer2.0.bn2", "layer2.0.act2"),
        (lambda: timm.create_model("resnet18"), "layer2.0.bn1", "layer2.0.act1"),
        (lambda: timm.create_model("resnet18", features_only=True), "layer4.1.bn2", "[3]"),
    ],
)
def test_a_tensor_changed_afterwards_is_refused(make: Any, path: str, fix: str) -> None:
    model = make()
    with pytest.raises(RecipeError) as caught:
        Taps(model, [path])(torch.rand(2, 3, 32, 32))
    for part in (f"'{path}'", "changed in place", "the activation or the block that follows"):
        assert part in str(caught.value)
    assert Taps(model, [fix])(torch.rand(2, 3, 32, 32))[1][fix].isfinite().all()


def test_inference_mode_has_no_versions_and_still_reads(net: Net) -> None:
    with torch.inference_mode():
        read = Taps(net, ["stem"])(IMAGES)[1]
    torch.testing.assert_close(read["stem"], net.stem(IMAGES), rtol=0, atol=0)


def test_extract_waits_for_the_call_that_is_asked_for(net: Net) -> None:
    taps = Taps(net, ["head@1", "stem"])
    _, whole = taps(IMAGES)
    torch.testing.assert_close(taps.extract(IMAGES), whole)


@pytest.mark.parametrize(("compile", "mode"), [("inductor", None), ("reduce-overhead", "reduce-overhead")])
def test_the_mode_reaches_the_compiler(
    compile: Any, mode: str | None, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    monkeypatch.setattr(torch, "compile", lambda function, mode: modes.append(mode) or function)
    assert Taps(net, ["stem"], compile)(IMAGES)[1]["stem"].shape == (2, 4, 6, 7)
    assert modes == [mode, mode]


def test_hooks_of_a_block_serve_all_of_its_calls(net: Net) -> None:
    taps = Taps(net, ["stem"])
    with taps.hooks():
        first = taps(IMAGES)[1]["stem"]
        assert hooks(net) == 1
        torch.testing.assert_close(taps.extract(IMAGES)["stem"], first, rtol=0, atol=0)
        assert hooks(net) == 1
    assert hooks(net) == 0
