"""MobileNetV2 and V3 inside published files, block by block: key rules from their names to timm's."""

from collections.abc import Iterable, Sequence

from densekd.models.checkpoints.layout import Rules

# Blocks of each stage; the last convolution of MobileNetV3 comes after them.
_V2 = (1, 2, 3, 4, 3, 3, 1)
_V3 = {
    "mobilenetv3_small_100": (1, 2, 3, 2, 3),
    "mobilenetv3_large_100": (1, 2, 3, 4, 2, 3),
}


def which_v3(keys: Iterable[str], prefix: str) -> str | None:
    """Return the MobileNetV3 whose last block the keys have, or None."""
    keys = set(keys)
    for name, stages in _V3.items():
        if f"{prefix}layer{sum(stages) + 1}.conv.weight" in keys:
            return name
    return None


def v2_cirkd(prefix: str) -> Rules:
    """Rules for CIRKD's names of MobileNetV2: ``features.<block>.conv.<part>``.

    Convolutions, norms and activations of a block are one flat sequence; torchvision nests them.
    """
    rules: list[tuple[str, str | None]] = [
        (rf"{prefix}features\.0\.0(\..*)", r"backbone.conv_stem\1"),
        (rf"{prefix}features\.0\.1(\..*)", r"backbone.bn1\1"),
        # The last 1x1 convolution belongs to the classifier.
        (rf"{prefix}features\.18\..*", None),
    ]
    for number, (stage, block) in enumerate(_places(_V2), start=1):
        # Parts of a block by their place in the sequence; the places between are activations.
        parts = {0: "conv_pw", 1: "bn1", 3: "conv_dw", 4: "bn2", 6: "conv_pwl", 7: "bn3"}
        if number == 1:
            # The first block does not expand.
            parts = {0: "conv_dw", 1: "bn1", 3: "conv_pw", 4: "bn2"}
        theirs = rf"{prefix}features\.{number}\.conv"
        ours = rf"backbone.blocks.{stage}.{block}"
        for place, part in parts.items():
            rules.append((rf"{theirs}\.{place}(\..*)", rf"{ours}.{part}\1"))
    return tuple(rules)


def v2_torchvision(prefix: str) -> Rules:
    """Rules for torchvision's names of MobileNetV2: a convolution and its norm are a sequence of their own."""
    rules: list[tuple[str, str | None]] = [
        (rf"{prefix}features\.0\.0(\..*)", r"backbone.conv_stem\1"),
        (rf"{prefix}features\.0\.1(\..*)", r"backbone.bn1\1"),
        # The last 1x1 convolution belongs to the classifier.
        (rf"{prefix}features\.18\..*", None),
    ]
    for number, (stage, block) in enumerate(_places(_V2), start=1):
        # The first block does not expand.
        convs = ("conv_dw", "conv_pw") if number == 1 else ("conv_pw", "conv_dw", "conv_pwl")
        last = len(convs) - 1
        theirs = rf"{prefix}features\.{number}\.conv"
        ours = rf"backbone.blocks.{stage}.{block}"
        for k, conv in enumerate(convs[:-1]):
            rules.append((rf"{theirs}\.{k}\.0(\..*)", rf"{ours}.{conv}\1"))
            rules.append((rf"{theirs}\.{k}\.1(\..*)", rf"{ours}.bn{k + 1}\1"))
        # The projection has no activation, and so is not nested.
        rules.append((rf"{theirs}\.{last}(\.weight)", rf"{ours}.{convs[-1]}\1"))
        rules.append((rf"{theirs}\.{last + 1}(\..*)", rf"{ours}.bn{last + 1}\1"))
    return tuple(rules)


def v2_mmseg(prefix: str) -> Rules:
    """Rules for OpenMMLab's names of MobileNetV2: ``layer<stage>.<block>.conv.<part>.{conv,bn}``."""
    rules: list[tuple[str, str | None]] = [
        (rf"{prefix}conv1\.conv(\..*)", r"backbone.conv_stem\1"),
        (rf"{prefix}conv1\.bn(\..*)", r"backbone.bn1\1"),
    ]
    for stage, block in _places(_V2):
        # The first block does not expand.
        convs = ("conv_dw", "conv_pw") if stage == 0 else ("conv_pw", "conv_dw", "conv_pwl")
        ours = rf"backbone.blocks.{stage}.{block}"
        for k, conv in enumerate(convs):
            theirs = rf"{prefix}layer{stage + 1}\.{block}\.conv\.{k}"
            rules.append((rf"{theirs}\.conv(\..*)", rf"{ours}.{conv}\1"))
            rules.append((rf"{theirs}\.bn(\..*)", rf"{ours}.bn{k + 1}\1"))
    return tuple(rules)


def v3(name: str, prefix: str) -> Rules:
    """Rules for CIRKD's and OpenMMLab's names of MobileNetV3: ``layer<block>.expand_conv`` etc."""
    rules: list[tuple[str, str | None]] = [
        (rf"{prefix}layer0\.conv(\..*)", r"backbone.conv_stem\1"),
        (rf"{prefix}layer0\.bn(\..*)", r"backbone.bn1\1"),
    ]
    stages = _V3[name]
    for number, (stage, block) in enumerate(_places(stages), start=1):
        theirs = rf"{prefix}layer{number}\."
        ours = f"backbone.blocks.{stage}.{block}."
        parts = {
            "expand": ("conv_pw", "bn1"),
            "depthwise": ("conv_dw", "bn2"),
            "linear": ("conv_pwl", "bn3"),
        }
        if number == 1:
            # The first block does not expand.
            parts = {"depthwise": ("conv_dw", "bn1"), "linear": ("conv_pw", "bn2")}
        for part, (conv, norm) in parts.items():
            rules.append((rf"{theirs}{part}_conv\.conv(\..*)", rf"{ours}{conv}\1"))
            rules.append((rf"{theirs}{part}_conv\.bn(\..*)", rf"{ours}{norm}\1"))
        # Squeeze and excitation, in the blocks that have it.
        rules.append((rf"{theirs}se\.conv1\.conv(\..*)", rf"{ours}se.conv_reduce\1"))
        rules.append((rf"{theirs}se\.conv2\.conv(\..*)", rf"{ours}se.conv_expand\1"))
    # The last 1x1 convolution is a stage of its own in timm.
    theirs = rf"{prefix}layer{sum(stages) + 1}\."
    ours = f"backbone.blocks.{len(stages)}.0."
    rules.append((rf"{theirs}conv(\..*)", rf"{ours}conv\1"))
    rules.append((rf"{theirs}bn(\..*)", rf"{ours}bn1\1"))
    return tuple(rules)


def _places(stages: Sequence[int]) -> list[tuple[int, int]]:
    """List (stage, block) in the order of the blocks."""
    places = []
    for stage, blocks in enumerate(stages):
        places += [(stage, block) for block in range(blocks)]
    return places
