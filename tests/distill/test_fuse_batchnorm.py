"""Folded batch norms change nothing but the cost, and nothing is folded that something else reads."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision.ops import FrozenBatchNorm2d

from densekd.distill.fuse_batchnorm import fuse_batch_norms
from densekd.distill.taps import Taps
from densekd.distill.teacher import FrozenTeacher
from densekd.models import find_model

IMAGES = torch.rand(2, 3, 33, 40, generator=torch.Generator().manual_seed(1))


def settled(model: nn.Module) -> nn.Module:
    """Give every norm statistics and parameters of its own."""
    for module in model.modules():
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, FrozenBatchNorm2d)):
            for name, low, high in (("running_mean", -1, 1), ("running_var", 0.5, 2), ("weight", 0.5, 1.5)):
                getattr(module, name).data.uniform_(low, high)
            module.bias.data.uniform_(-1, 1)
    return model.eval()


def norms(model: nn.Module) -> int:
    return sum(isinstance(m, (nn.modules.batchnorm._BatchNorm, FrozenBatchNorm2d)) for m in model.modules())


def compare(model: nn.Module, paths: list[str], images: Tensor = IMAGES) -> int:
    """Fold, check that the teacher's taps stay, and return how many norms went."""
    model = settled(model)
    with torch.no_grad():
        before = {path: x.clone() for path, x in Taps(model, paths)(images)[1].items()}
    count = norms(model)
    folded = fuse_batch_norms(model, paths, images[:1])
    assert folded == count - norms(model)
    teacher = FrozenTeacher(model, paths)
    for _ in range(2):
        for path, x in teacher(images).items():
            bound = 2e-5 * before[path].abs().max().item()
            torch.testing.assert_close(x, before[path], rtol=0, atol=bound, msg=lambda m, path=path: f"{path}: {m}")
    return folded


@pytest.mark.parametrize(
    ("name", "options", "left"),
    [
        ("pspnet", {"backbone": "resnet18", "family": "mmseg"}, 0),
        ("pspnet", {"backbone": "resnet18", "family": "torchdistiller", "auxiliary_channels": 8}, 0),
        ("deeplabv3plus", {"backbone": "resnet18", "family": "mmseg"}, 0),
        ("deeplabv3", {"backbone": "mobilenetv3_small_100", "family": "cirkd"}, 0),
        ("segformer", {"backbone": "mit_b0", "family": "nvlabs"}, 0),
        ("segformer", {"backbone": "mit_b0", "family": "mmseg"}, 0),
        ("upernet", {"backbone": "swin_tiny"}, 0),
        ("fpn", {"backbone": "mobilevit_xxs"}, None),
        ("timm:efficientnet_b0", {}, None),
    ],
)
def test_our_teachers_stay_as_they_are(name: str, options: dict[str, Any], left: int | None) -> None:
    built = find_model(name)(num_classes=5, **options)
    paths = ["logits", "features.1", "features.3"] if hasattr(built, "taps") else ["logits"]
    model = nn.Module.to(built, memory_format=torch.channels_last)  # type: ignore[call-overload]
    folded = compare(model, paths, torch.rand(2, 3, 64, 64))
    assert folded > 0
    if left is not None:
        assert norms(model) == left


class Net(nn.Module):
    """A convolution, a norm, and a way to use them."""

    def __init__(self, use: Callable[["Net", Tensor], Any], conv: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv or nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.other = nn.BatchNorm2d(4)
        self.use = use

    def forward(self, images: Tensor) -> Any:
        """Use them."""
        return self.use(self, images)


def _kept(net: Net, x: Tensor) -> Tensor:
    net.last = net.conv(x)  # type: ignore[assignment]
    return net.norm(net.last).relu()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "use",
    [
        lambda n, x: (y := n.conv(x)).relu() + n.norm(y),
        lambda n, x: [y := n.conv(x), n.norm(y)],
        lambda n, x: n.norm(n.conv(x)[:, :, 1:]),
        lambda n, x: n.norm(n.conv(x).relu_()),
        lambda n, x: n.norm(n.conv(x)) + n.other(n.conv(x)),
        lambda n, x: n.other(y := n.conv(x)) * n.norm(y),
        lambda n, x: n.norm(n.conv(x)) + n.conv.weight.sum(),
        lambda n, x: n.norm(n.conv(x)) + n.norm.running_mean.sum(),
        lambda n, x: n.norm(n.conv(x)) + n.norm(nn.functional.pad(x, (0, 0, 0, 0, 0, 1))),
        _kept,
    ],
    ids=["added", "returned", "sliced", "changed", "twice", "shared", "weight", "mean", "alone", "kept"],
)
def test_what_something_else_reads_is_not_folded(use: Callable[[Net, Tensor], Any]) -> None:
    net = Net(use)
    assert compare(net, ["norm@0"]) == 0


def test_what_runs_twice_as_a_pair_is_folded() -> None:
    net = Net(lambda n, x: n.norm(n.conv(x)) - n.norm(n.conv(x.flip(3))).relu())
    assert compare(net, ["logits", "norm@1"]) == 1


@pytest.mark.parametrize(("paths", "folded"), [(["conv", "logits"], 0), (["norm", "logits"], 1), (["logits"], 1)])
def test_taps_stay_what_they_are(paths: list[str], folded: int) -> None:
    assert compare(Net(lambda n, x: n.norm(n.conv(x)).relu()), paths) == folded


class Wrapped(nn.Sequential):
    """A container whose output is a convolution's."""


def test_a_tap_on_what_holds_the_convolution() -> None:
    assert compare(nn.Sequential(Wrapped(nn.Conv2d(3, 4, 1)), nn.BatchNorm2d(4)), ["0", "1"]) == 0


class Standardised(nn.Conv2d):
    """A convolution that works on its weight first."""

    def forward(self, x: Tensor) -> Tensor:
        """Subtract the mean."""
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


def test_other_convolutions_are_left_alone() -> None:
    for conv in (Standardised(3, 4, 3), weight_norm(nn.Conv2d(3, 4, 3)), nn.ConvTranspose2d(3, 4, 3)):
        assert compare(Net(lambda n, x: n.norm(n.conv(x)), conv), ["logits"]) == 0
    hooked = nn.Conv2d(3, 4, 3)
    hooked.register_forward_hook(lambda m, i, o: o.clamp(min=0))
    assert compare(Net(lambda n, x: n.norm(n.conv(x)), hooked), ["logits"]) == 0


@pytest.mark.parametrize("options", [{"bias": False}, {"groups": 3}, {"padding": 2, "padding_mode": "reflect"}])
def test_convolutions_of_every_kind(options: dict[str, Any]) -> None:
    conv = nn.Conv2d(3, 6, 3, **options)
    assert compare(nn.Sequential(conv, nn.SyncBatchNorm(6), nn.Conv2d(6, 4, 1), FrozenBatchNorm2d(4)), ["3"]) == 2


def test_a_model_that_fails_when_folded_stays_as_it_was() -> None:
    net = settled(Net(lambda n, x: n.norm(n.conv(x)) * n.norm.num_features))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert fuse_batch_norms(net, ["logits"], IMAGES) == 0
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert isinstance(net.norm, nn.BatchNorm2d)


def test_statistics_in_training_are_left_alone() -> None:
    net = Net(lambda n, x: n.norm(n.conv(x)))
    assert fuse_batch_norms(net.train(), ["logits"], IMAGES) == 0


def test_a_timm_network_without_features() -> None:
    model = settled(timm.create_model("resnet10t", num_classes=3))
    assert compare(model, ["layer2", "layer4"], torch.rand(2, 3, 64, 64)) == 14
