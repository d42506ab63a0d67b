"""ResNets and ResNeXts inside published files: told apart by shapes; key rules of stem and stages."""

import re
from collections.abc import Mapping

from torch import Tensor

from densekd.models.checkpoints.layout import Rules, count

# Blocks per stage, and the shape of the second convolution of the first (output channels, input
# channels of a group).
_KINDS: dict[tuple[int, ...], str] = {
    (2, 2, 2, 2, 64, 64): "resnet18",
    (3, 4, 6, 3, 64, 64): "resnet50",
    (3, 4, 23, 3, 64, 64): "resnet101",
    (3, 8, 36, 3, 64, 64): "resnet152",
    (3, 4, 6, 3, 128, 4): "resnext50_32x4d",
    (3, 4, 23, 3, 128, 4): "resnext101_32x4d",
    (3, 4, 23, 3, 256, 4): "resnext101_64x4d",
}


def which_resnet(state: Mapping[str, Tensor], prefix: str) -> str | None:
    """Return the backbone's name, or None where the file holds no ResNet that we know.

    Args:
        state: the entries.
        prefix: a pattern of what precedes the stages' names, such as ``backbone\\.``.
    """
    second = _shape(state, rf"{prefix}layer1\.0\.conv2\.weight")
    third = _shape(state, rf"{prefix}layer1\.0\.conv3\.weight")
    if second is None:
        return None
    blocks = tuple(count(state, rf"{prefix}layer{k}\.(\d+)\..*") for k in (1, 2, 3, 4))
    found = _KINDS.get(blocks + second[:2])
    # Depths 34 and 50 have as many blocks; a block of 34 has two convolutions.
    if found == "resnet50" and third is None:
        return "resnet34"
    return found


def _shape(state: Mapping[str, Tensor], pattern: str) -> tuple[int, ...] | None:
    """Return the shape of the first entry whose key matches in full."""
    for key, value in state.items():
        if re.fullmatch(pattern, key):
            return tuple(value.shape)
    return None


def stages(prefix: str) -> Rules:
    """Rules for what all ResNets share: ``prefix`` is a pattern, such as ``pretrained\\.``."""
    return ((rf"{prefix}(layer\d.*)", r"backbone.\1"),)


def deep_stem(prefix: str) -> Rules:
    """Rules for three convolutions called conv1..conv3 (CIRKD, HWD, TorchDistiller)."""
    return (
        (rf"{prefix}conv1(\..*)", r"backbone.conv1.0\1"),
        (rf"{prefix}bn1(\..*)", r"backbone.conv1.1\1"),
        (rf"{prefix}conv2(\..*)", r"backbone.conv1.3\1"),
        (rf"{prefix}bn2(\..*)", r"backbone.conv1.4\1"),
        (rf"{prefix}conv3(\..*)", r"backbone.conv1.6\1"),
        (rf"{prefix}bn3(\..*)", r"backbone.bn1\1"),
    )


def single_stem(prefix: str) -> Rules:
    """Rules for one 7x7 convolution (mmsegmentation's "b", mmdetection, CIRKD's "vanilla")."""
    return ((rf"{prefix}((?:conv|bn)1\..*)", r"backbone.\1"),)
