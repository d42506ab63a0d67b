"""PSPNet of three families against the originals, and the sizes of all dilated models."""

import os
from typing import Any

import pytest
import torch
from golden_models import FOLDER, Rules, fill, published_state, read_json, renamed, stored, to_ours
from torch import Tensor, nn

from densekd.distill.taps import Taps
from densekd.models import MODELS
from densekd.models.blocks import JoinedConv2d
from densekd.models.dilated import pspnet
from densekd.models.segmentor import Segmentor
from densekd.tasks.common import upsample

OPTIONS: dict[str, dict[str, Any]] = {
    "mmseg_pspnet_r18-d8": {"family": "mmseg", "backbone": "resnet18"},
    "mmseg_pspnet_r50-d8": {"family": "mmseg", "backbone": "resnet50"},
    "cirkd_psp_resnet18": {"family": "cirkd", "backbone": "resnet18"},
    "torchdistiller_pspnet_r18": {"family": "torchdistiller", "backbone": "resnet18", "auxiliary_channels": 128},
}

_DEEP_STEM: Rules = [
    (r"(?:pretrained\.)?conv1(.*)", r"backbone.conv1.0\1"),
    (r"(?:pretrained\.)?bn1(.*)", r"backbone.conv1.1\1"),
    (r"(?:pretrained\.)?conv2(.*)", r"backbone.conv1.3\1"),
    (r"(?:pretrained\.)?bn2(.*)", r"backbone.conv1.4\1"),
    (r"(?:pretrained\.)?conv3(.*)", r"backbone.conv1.6\1"),
    (r"(?:pretrained\.)?bn3(.*)", r"backbone.bn1\1"),
    (r"(?:pretrained\.)?(layer.*)", r"backbone.\1"),
]
RULES: dict[str, Rules] = {
    "mmseg": [
        (r"backbone\.stem\.([0-6])(.*)", r"backbone.conv1.\1\2"),
        (r"backbone\.stem\.7(.*)", r"backbone.bn1\1"),
        (r"(backbone\.layer.*)", r"\1"),
        (r"decode_head\.psp_modules\.(\d)\.1\.conv(.*)", r"head.pyramid.levels.\1.0\2"),
        (r"decode_head\.psp_modules\.(\d)\.1\.bn(.*)", r"head.pyramid.levels.\1.1\2"),
        (r"decode_head\.bottleneck\.conv(.*)", r"head.bottleneck.0\1"),
        (r"decode_head\.bottleneck\.bn(.*)", r"head.bottleneck.1\1"),
        (r"decode_head\.conv_seg(.*)", r"head.classifier\1"),
        (r"auxiliary_head\.convs\.0\.conv(.*)", r"auxiliary.conv.0\1"),
        (r"auxiliary_head\.convs\.0\.bn(.*)", r"auxiliary.conv.1\1"),
        (r"auxiliary_head\.conv_seg(.*)", r"auxiliary.classifier\1"),
    ],
    "cirkd": [
        *_DEEP_STEM,
        *((rf"head\.psp\.conv{k + 1}(.*)", rf"head.pyramid.levels.{k}\1") for k in range(4)),
        (r"head\.block(.*)", r"head.bottleneck\1"),
        (r"(head\.classifier.*)", r"\1"),
        (r"auxlayer\.block\.([01])(.*)", r"auxiliary.conv.\1\2"),
        (r"auxlayer\.block\.4(.*)", r"auxiliary.classifier\1"),
    ],
    "torchdistiller": [
        *_DEEP_STEM,
        (r"pspmodule\.stages\.(\d)\.1(.*)", r"head.pyramid.levels.\1.0\2"),
        (r"pspmodule\.stages\.(\d)\.2(.*)", r"head.pyramid.levels.\1.1\2"),
        (r"pspmodule\.bottleneck(.*)", r"head.bottleneck\1"),
        (r"head(\.weight|\.bias)", r"head.classifier\1"),
        (r"dsn\.([01])(.*)", r"auxiliary.conv.\1\2"),
        (r"dsn\.3(.*)", r"auxiliary.classifier\1"),
    ],
}
# The taps of what is stored.
TAPS: Rules = [
    (r"out\.logits", "logits"),
    (r"out\.aux_logits", "aux"),
    (r"feat\.pre_logits", "pre_logits"),
    (r"feat\.maxpool", "backbone.maxpool"),
    (r"feat\.backbone\.(\d)", r"features.\1"),
    *((rf"feat\.(?:c|layer){k + 1}", f"features.{k}") for k in range(4)),
]
GOLDEN = pytest.mark.parametrize("name", OPTIONS)


def build(name: str) -> Segmentor:
    """Build one of the published models, without weights."""
    if "DENSEKD_GOLDEN" in os.environ and not (FOLDER / name).is_dir():
        pytest.skip(f"{name} is not in this set")
    return pspnet(19, **OPTIONS[name]).eval()


def our_weights(name: str) -> dict[str, Tensor]:
    """Return the published weights under our names, with InPlace-ABN's |weight| + eps written out."""
    family = OPTIONS[name]["family"]
    state = to_ours(published_state(name), RULES[family])
    if family != "torchdistiller":
        return state
    norms = {key for key, value in state.items() if key.endswith(".weight") and value.dim() == 1}
    return {key: value.abs() + 1e-5 if key in norms else value for key, value in state.items()}


def close(ours: Tensor, theirs: Tensor) -> None:
    """Assert agreement within 1e-5 of the largest entry."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_the_fill_rule() -> None:
    """The README's test vectors, which carry nine digits."""
    for key, shape, first in (
        ("backbone.conv1.weight", [64, 3, 7, 7], [0.0563329533, -0.120692044, -0.00514862128]),
        ("backbone.layer1.0.bn3.weight", [256], [0.309341848, -0.325540394, 0.202296659]),
        ("backbone.bn1.running_var", [64], [0.994812012, 0.822853982, 0.953097582]),
        ("backbone.bn1.running_mean", [64], [-0.0277127773, 0.102770083, -0.0318128355]),
        ("decode_head.conv_seg.bias", [19], [-0.0877373293, -0.036408931, 0.0869766697]),
        ("pretrained.bn1.weight", [64], [0.697667122, 1.03798878, 1.41606677]),
    ):
        assert fill(key, shape).flatten()[:3].tolist() == pytest.approx(first, rel=1e-8)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (OPTIONS["mmseg_pspnet_r18-d8"], 12790086),
        (OPTIONS["mmseg_pspnet_r50-d8"], 48975494),
        (OPTIONS["cirkd_psp_resnet18"], 12919334),
        (OPTIONS["torchdistiller_pspnet_r18"], 13068262),
        # Without the auxiliary head: less 3x3x256x64 + 2x64 + 64x19 + 19.
        ({"backbone": "resnet18", "auxiliary_channels": 0}, 12790086 - 148819),
    ],
)
def test_parameter_counts(options: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        model = pspnet(19, **options)
    assert sum(p.numel() for p in model.parameters()) == count


def geometry_of(conv: nn.Module) -> list[int]:
    """Kernel, stride, padding, dilation, groups."""
    if isinstance(conv, JoinedConv2d):
        k = conv.weight.shape[2]
        return [k, 1, k // 2, 1, 1]
    assert isinstance(conv, nn.Conv2d)
    return [conv.kernel_size[0], conv.stride[0], int(conv.padding[0]), conv.dilation[0], conv.groups]


@GOLDEN
def test_geometry(name: str) -> None:
    with torch.device("meta"):
        model = build(name)
    facts = read_json(name, "facts.json")
    assert sum(p.numel() for p in model.parameters()) == facts["params"]
    modules = dict(model.named_modules())
    checked = set()
    for published, geometry in facts["conv_geometry"].items():
        ours = renamed(published + ".weight", RULES[OPTIONS[name]["family"]]).removesuffix(".weight")
        conv = modules[ours]
        assert geometry_of(conv) == geometry, f"{published} = {ours}"
        checked.add(ours)
    convs = {n: geometry_of(m) for n, m in modules.items() if isinstance(m, nn.Conv2d | JoinedConv2d)}
    listed = {n for n, (kernel, stride, *_) in convs.items() if (kernel, stride) != (1, 1)}
    assert checked == listed
    assert {m.eps for m in modules.values() if isinstance(m, nn.BatchNorm2d)} == {1e-5}


@GOLDEN
def test_convention(name: str) -> None:
    model, facts = build(name), read_json(name, "facts.json")
    convention = facts["input_convention"]
    assert model.convention.order == convention["channel_order"][:3].lower()
    assert (255 * model.normalize.mean).flatten().tolist() == pytest.approx(convention["mean"])
    assert (255 / model.normalize.scale).flatten().tolist() == pytest.approx(convention["std"])
    assert model.align_corners is (str(facts["align_corners"]) == "True")


@GOLDEN
def test_outputs_equal_the_originals(name: str) -> None:
    model, facts, expected = build(name), read_json(name, "facts.json"), stored(name)
    own = set(model.state_dict())
    weights = our_weights(name)
    assert {key for key in own ^ set(weights) if not key.endswith("num_batches_tracked")} == set()
    model.load_state_dict(weights, strict=False)
    model.normalize = nn.Identity()  # type: ignore[assignment]
    images = expected.pop("input")
    full = expected.pop("out.logits_full_sub")
    paths = {key: renamed(key, TAPS) for key in expected}
    with torch.no_grad():
        logits, read = Taps(model, paths.values())(images)
    for key, path in paths.items():
        close(read[path][:, :: facts["channel_stride"].get(key, 1)], expected[key])
    close(upsample(model, logits, images.shape[-2:])[:, :, 3::16, 5::16], full)


@pytest.mark.parametrize(("name", "stride"), [("pspnet", 8), ("deeplabv3", 8), ("deeplabv3plus", 4), ("fcn", 8)])
@pytest.mark.parametrize("family", ["mmseg", "cirkd", "torchdistiller"])
def test_every_architecture(name: str, stride: int, family: str) -> None:
    model = MODELS[name](3, "resnet18_025", family).eval()
    with torch.no_grad():
        _, read = Taps(model, ["logits", "pre_logits", "aux"])(torch.rand(1, 3, 96, 128))
    # One family's stem rounds sizes up.
    more = 1 if family == "torchdistiller" else 0
    size = (96 // stride + more, 128 // stride + more)
    assert read["logits"].shape == (1, 3, *size)
    assert read["pre_logits"].shape == (1, 32, *size)
    assert read["aux"].shape == (1, 3, 12 + more, 16 + more)


def test_widths_of_the_low_features() -> None:
    """48 channels beside 512 and more, else 12, as in mmsegmentation."""
    for backbone, low in (("resnet18", 12), ("resnet50", 48)):
        with torch.device("meta"):
            model = MODELS["deeplabv3plus"](3, backbone)
        assert model.head.low[0].out_channels == low


def test_auxiliary_width() -> None:
    for options, width in (({}, 16), ({"auxiliary_channels": 5}, 5)):
        model = pspnet(3, "resnet18_025", **options)
        assert model.auxiliary is not None
        assert model.auxiliary.get_submodule("classifier").in_channels == width
    assert pspnet(3, "resnet18_025", auxiliary_channels=0).auxiliary is None
