"""The MobileNets inside published files, block by block: what they are called there and in timm."""

from collections.abc import Iterable, Sequence

from densekd.models.checkpoints.layout import Rules

# Blocks of each stage; the last convolution of MobileNetV3 comes after them.
_V2 = (1, 2, 3, 4, 3, 3, 1)
_V3 = {"mobilenetv3_small_100": (1, 2, 3, 2, 3), "mobilenetv3_large_100": (1, 2, 3, 4, 2, 3)}


def which_v3(keys: Iterable[str], prefix: str) -> str | None:
    """Return the MobileNetV3 whose last block the keys have, or None."""
    keys = set(keys)
    for name, stages in _V3.items():
        if f"{prefix}layer{sum(stages) + 1}.conv.weight" in keys:
            return name
    return None


def v2_torchvision(prefix: str) -> Rules:
    """Rules for torchvision's and CIRKD's names: ``features.<block>.conv.<part>``."""
    rules: list[tuple[str, str | None]] = [
        (rf"{prefix}features\.0\.0(\..*)", r"backbone.conv_stem\1"),
        (rf"{prefix}features\.0\.1(\..*)", r"backbone.bn1\1"),
        (rf"{prefix}features\.18\..*", None),
    ]
    for number, (stage, block) in enumerate(_places(_V2), start=1):
        parts = {0: "conv_dw", 1: "bn1", 3: "conv_pw", 4: "bn2"}
        if number > 1:
            parts = {0: "conv_pw", 1: "bn1", 3: "conv_dw", 4: "bn2", 6: "conv_pwl", 7: "bn3"}
        here = rf"{prefix}features\.{number}\.conv"
        rules += [(rf"{here}\.{k}(\..*)", rf"backbone.blocks.{stage}.{block}.{part}\1") for k, part in parts.items()]
    return tuple(rules)


def v2_mmseg(prefix: str) -> Rules:
    """Rules for OpenMMLab's names: ``layer<stage>.<block>.conv.<part>.conv`` and ``.bn``."""
    rules: list[tuple[str, str | None]] = [
        (rf"{prefix}conv1\.conv(\..*)", r"backbone.conv_stem\1"),
        (rf"{prefix}conv1\.bn(\..*)", r"backbone.bn1\1"),
    ]
    for stage, block in _places(_V2):
        convs = ("conv_dw", "conv_pw") if stage == 0 else ("conv_pw", "conv_dw", "conv_pwl")
        for k, conv in enumerate(convs):
            here, there = rf"{prefix}layer{stage + 1}\.{block}\.conv\.{k}", rf"backbone.blocks.{stage}.{block}"
            rules += [(rf"{here}\.conv(\..*)", rf"{there}.{conv}\1"), (rf"{here}\.bn(\..*)", rf"{there}.bn{k + 1}\1")]
    return tuple(rules)


def v3(name: str, prefix: str) -> Rules:
    """Rules for CIRKD's and OpenMMLab's names: ``layer<block>.{expand,depthwise,linear}_conv``."""
    rules: list[tuple[str, str | None]] = [
        (rf"{prefix}layer0\.conv(\..*)", r"backbone.conv_stem\1"),
        (rf"{prefix}layer0\.bn(\..*)", r"backbone.bn1\1"),
    ]
    stages = _V3[name]
    for number, (stage, block) in enumerate(_places(stages), start=1):
        here, there = rf"{prefix}layer{number}\.", f"backbone.blocks.{stage}.{block}."
        parts = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "linear": ("conv_pwl", "bn3")}
        if number == 1:
            parts = {"depthwise": ("conv_dw", "bn1"), "linear": ("conv_pw", "bn2")}
        for part, (conv, norm) in parts.items():
            rules += [
                (rf"{here}{part}_conv\.conv(\..*)", rf"{there}{conv}\1"),
                (rf"{here}{part}_conv\.bn(\..*)", rf"{there}{norm}\1"),
            ]
        rules += [
            (rf"{here}se\.conv1\.conv(\..*)", rf"{there}se.conv_reduce\1"),
            (rf"{here}se\.conv2\.conv(\..*)", rf"{there}se.conv_expand\1"),
        ]
    last, there = rf"{prefix}layer{sum(stages) + 1}\.", f"backbone.blocks.{len(stages)}.0."
    rules += [(rf"{last}conv(\..*)", rf"{there}conv\1"), (rf"{last}bn(\..*)", rf"{there}bn1\1")]
    return tuple(rules)


def _places(stages: Sequence[int]) -> list[tuple[int, int]]:
    """List (stage, block) in the order of the blocks."""
    return [(stage, block) for stage, blocks in enumerate(stages) for block in range(blocks)]
