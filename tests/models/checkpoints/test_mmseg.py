"""mmsegmentation's files: every dilated head on both stems."""

from typing import Any

import pytest
from golden_models import Rules
from published_keys import SINGLE_STEM, V1C_STEM, assert_recognized, published, under

from densekd.models.checkpoints.mmseg import conv_module, recognize


def module(ours: str, theirs: str) -> list[tuple[str, str]]:
    """A ConvModule: our 0 is its convolution, our 1 its norm."""
    return [(rf"{ours}\.0(\..*)", rf"{theirs}.conv\g<1>"), (rf"{ours}\.1(\..*)", rf"{theirs}.bn\g<1>")]


def separable(ours: str, theirs: str) -> list[tuple[str, str]]:
    return [*module(rf"{ours}\.0", f"{theirs}.depthwise_conv"), *module(rf"{ours}\.1", f"{theirs}.pointwise_conv")]


COMMON: Rules = [
    (r"head\.classifier(\..*)", r"decode_head.conv_seg\1"),
    *module(r"auxiliary\.conv", "auxiliary_head.convs.0"),
    (r"auxiliary\.classifier(\..*)", r"auxiliary_head.conv_seg\1"),
]
POOL = module(r"head\.aspp\.pool", "decode_head.image_pool.1")
PSP = module(r"head\.bottleneck", "decode_head.bottleneck")
ASPP = [*POOL, *module(r"head\.bottleneck", "decode_head.bottleneck")]
SEPARABLE = [*POOL, *module(r"head\.aspp\.branches\.0", "decode_head.aspp_modules.0")]
SEPARABLE += module(r"head\.fuse", "decode_head.bottleneck")
SEPARABLE += module(r"head\.low", "decode_head.c1_bottleneck")
FCN = module(r"head\.bottleneck", "decode_head.conv_cat")
for k in range(4):
    PSP += module(rf"head\.pyramid\.levels\.{k}", f"decode_head.psp_modules.{k}.1")
    ASPP += module(rf"head\.aspp\.branches\.{k}", f"decode_head.aspp_modules.{k}")
for k in (1, 2, 3):
    SEPARABLE += separable(rf"head\.aspp\.branches\.{k}", f"decode_head.aspp_modules.{k}")
for k in (0, 1):
    SEPARABLE += separable(rf"head\.bottleneck\.{k}", f"decode_head.sep_bottleneck.{k}")
    FCN += module(rf"head\.convs\.{k}", f"decode_head.convs.{k}")
HEADS: dict[str, Rules] = {"pspnet": PSP, "deeplabv3": ASPP, "deeplabv3plus": SEPARABLE, "fcn": FCN}


@pytest.mark.parametrize(
    ("model", "channels"),
    [("pspnet", 16), ("pspnet", (8, 16)), ("deeplabv3", 16), ("deeplabv3plus", (16, 4)), ("fcn", 16)],
)
@pytest.mark.parametrize("family", ["mmseg", "mmseg_b"])
def test_recognized(model: str, channels: Any, family: str) -> None:
    options = {"num_classes": 5, "backbone": "resnet18", "family": family, "channels": channels}
    options["auxiliary_channels"] = 12 if family == "mmseg" else 0
    stem = under(V1C_STEM if family == "mmseg" else SINGLE_STEM, "backbone.")
    found = recognize(published(model, options, [*stem, *HEADS[model], *COMMON]))
    assert_recognized(found, model, options)


def test_an_upernet_is_no_pspnet() -> None:
    options = {"num_classes": 5, "backbone": "resnet18", "family": "mmseg"}
    state = published("pspnet", options, [*under(V1C_STEM, "backbone."), *HEADS["pspnet"], *COMMON])
    state["decode_head.fpn_bottleneck.conv.weight"] = state["decode_head.bottleneck.conv.weight"]
    assert recognize(state) is None


def test_rules_of_a_module_keep_what_follows() -> None:
    assert conv_module(r"a\.(\d)", r"b.\1", group=2) == (
        (r"a\.(\d)\.conv(\..*)", r"b.\1.0\g<2>"),
        (r"a\.(\d)\.bn(\..*)", r"b.\1.1\g<2>"),
    )
