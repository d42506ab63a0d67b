"""Published files that are no dense model: backbones alone and discriminators, told by their keys."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

# What every file of a kind has, below ``backbone.`` or without a prefix.
_BACKBONES = {
    "a ResNet": r"layer1\.0\.conv1\.weight",
    "a mix transformer": r"block1\.0\.attn\.q\.weight|layers\.0\.1\.0\.attn\.attn\.in_proj_weight",
    "a Swin transformer": r"(layers|stages)\.0\.blocks\.0\.attn\.(w_msa\.)?relative_position_bias_table",
    "a MobileViT": r"layers\.2\.1\.local_rep\.1\.conv\.weight",
    "a MobileNetV3": r"layer1\.depthwise_conv\.conv\.weight",
    "a MobileNetV2": r"features\.1\.conv\.0(\.0)?\.weight|layer1\.0\.conv\.0\.conv\.weight",
}
# Spectral normalization and self-attention of the holistic methods' discriminators.
_DISCRIMINATOR = r"l1\.0\.module\.weight_bar"
# Heads of dense models have convolutions, those of classifiers linear layers alone.
_HEADS = re.compile(r"(\w*head|classifier|fc|neck|pspmodule|dsn|aux\w*|linear_\w+)\.")


def describe_unusable(state: Mapping[str, Tensor]) -> str | None:
    """Say what a file holds that is no dense model, and what to do with it; None where it is unknown."""
    if any(_HEADS.match(key) and value.dim() == 4 for key, value in state.items()):
        return None
    keys = [key.removeprefix("backbone.") for key in state]
    if _any(keys, _DISCRIMINATOR):
        return (
            "holds the discriminator of a holistic distillation (SKD, TorchDistiller), which trains a student and "
            "predicts nothing; densekd begins with a new one."
        )
    for kind, pattern in _BACKBONES.items():
        if _any(keys, pattern):
            return (
                f"holds {kind} without a head that predicts pixels or boxes, as trained on ImageNet; a recipe "
                "names it under 'pretrained'."
            )
    return None


def _any(keys: Iterable[str], pattern: str) -> bool:
    return any(re.fullmatch(pattern, key) for key in keys)
