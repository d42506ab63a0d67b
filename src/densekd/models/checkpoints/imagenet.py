"""ImageNet classifiers as pretrained backbones: the project is found by trying, the head dropped."""

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

_PREFIX = "backbone."
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
    mobilenets.v2_cirkd(r"backbone\."),
    mobilenets.v2_mmseg(r"backbone\."),
    mobilenets.v3("mobilenetv3_small_100", r"backbone\."),
    mobilenets.v3("mobilenetv3_large_100", r"backbone\."),
)


def as_backbone(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an ImageNet file's entries to those of a backbone.

    Args:
        state: as read from the file; keys may have ``backbone.`` in front.
        own: the backbone's entries.

    Returns:
        The entries of the layout that fits best, without those that the backbone does not have.
    """
    # All rules expect a prefix; files of classifiers have none.
    prefixed = {_PREFIX + key.removeprefix(_PREFIX): value for key, value in state.items()}
    best: dict[str, Tensor] = {}
    most = -1
    for rules in _LAYOUTS:
        renamed, _ = rename(_prepared(prefixed, rules), rules)
        candidate = {key.removeprefix(_PREFIX): value for key, value in renamed.items()}
        fitting = _fitting(candidate, own)
        # The first of equally good layouts stays.
        if fitting > most:
            best, most = candidate, fitting
    return {key: value for key, value in best.items() if key in own}


def _prepared(state: dict[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Bring values, not only names, to our form where a layout has another."""
    if rules is MIT_MMSEG:
        return plain_mit(state)
    if rules is SWIN_MMSEG:
        return original_merging(state)
    return state


def _fitting(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> int:
    """Count the entries that the backbone has in the same shape."""
    return sum(key in own and own[key].shape == value.shape for key, value in state.items())
