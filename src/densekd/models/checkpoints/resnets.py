"""The ResNets inside published files: which one it is, and how its stem is called."""

from collections.abc import Iterable

from densekd.models.checkpoints.layout import Rules, count

# Blocks per stage, and whether a block has three convolutions.
_DEPTHS = {
    (2, 2, 2, 2, False): "resnet18",
    (3, 4, 6, 3, False): "resnet34",
    (3, 4, 6, 3, True): "resnet50",
    (3, 4, 23, 3, True): "resnet101",
}


def which_resnet(keys: Iterable[str], prefix: str) -> str | None:
    """Return the backbone's name, or None where the keys are no ResNet's that we know."""
    keys = list(keys)
    blocks = [count(keys, rf"{prefix}layer{k}\.(\d+)\..*") for k in (1, 2, 3, 4)]
    bottleneck = count(keys, rf"{prefix}layer1\.(0)\.conv3\.weight") == 1
    return _DEPTHS.get((*blocks, bottleneck))  # type: ignore[arg-type]


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
    """Rules for one 7x7 convolution (mmsegmentation's "b" variants, mmdetection, CIRKD's "vanilla")."""
    return ((rf"{prefix}((?:conv|bn)1\..*)", r"backbone.\1"),)
