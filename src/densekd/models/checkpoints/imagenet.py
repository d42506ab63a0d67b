"""ImageNet classifiers as backbones: whose names the file has is found by trying, the classifier is dropped."""

from collections.abc import Mapping

from torch import Tensor

from densekd.models.checkpoints import mobilenets
from densekd.models.checkpoints.layout import Rules, rename
from densekd.models.checkpoints.resnets import deep_stem, single_stem, stages
from densekd.models.checkpoints.transformers import (
    MIT_MMSEG,
    SWIN_MMSEG,
    SWIN_ORIGINAL,
    mit,
    original_merging,
    plain_mit,
)

_STEM: Rules = (
    (r"backbone\.stem\.([0-6])(\..*)", r"backbone.conv1.\1\2"),
    (r"backbone\.stem\.7(\..*)", r"backbone.bn1\1"),
)
# Every layout with its keys below ``backbone.``, where all of our rules put theirs.
_LAYOUTS: tuple[Rules, ...] = (
    (),  # timm's and torchvision's ResNets, timm's everything
    (*deep_stem(r"backbone\."), *stages(r"backbone\.")),  # CIRKD, HWD, TorchDistiller
    (*single_stem(r"backbone\."), *stages(r"backbone\.")),
    (*_STEM, *stages(r"backbone\.")),  # OpenMMLab's V1c
    mit(r"backbone\."),  # NVlabs
    MIT_MMSEG,
    SWIN_ORIGINAL,
    SWIN_MMSEG,
    mobilenets.v2_torchvision(r"backbone\."),
    mobilenets.v2_mmseg(r"backbone\."),
    *(mobilenets.v3(name, r"backbone\.") for name in ("mobilenetv3_small_100", "mobilenetv3_large_100")),
)


def _prepared(state: dict[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Bring values, not only names, to our form where a layout has another."""
    if rules is MIT_MMSEG:
        return plain_mit(state)
    return original_merging(state) if rules is SWIN_MMSEG else state


def as_backbone(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an ImageNet file's entries to those of a backbone.

    Args:
        state: as read from the file; keys may have ``backbone.`` in front.
        own: the backbone's entries.

    Returns:
        The entries of the layout that fits best, without those that the backbone does not have.
    """
    inside = {f"backbone.{key.removeprefix('backbone.')}": value for key, value in state.items()}
    candidates = [rename(_prepared(inside, rules), rules)[0] for rules in _LAYOUTS]

    def plain(candidate: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key.removeprefix("backbone."): value for key, value in candidate.items()}

    def fitting(found: Mapping[str, Tensor]) -> int:
        return sum(key in own and own[key].shape == value.shape for key, value in found.items())

    best = max((plain(candidate) for candidate in candidates), key=fitting)
    return {key: value for key, value in best.items() if key in own}
