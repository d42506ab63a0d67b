"""ImageNet classifiers as pretrained backbones: the project is found by trying, the head dropped."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from densekd.models.checkpoints import mobilenets
from densekd.models.checkpoints.layout import Rules, rename
from densekd.models.checkpoints.mobilevits import mobilevit
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
LAYOUTS: tuple[Rules, ...] = (
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
    mobilenets.v2_torchvision(r"backbone\."),
    mobilenets.v3("mobilenetv3_small_100", r"backbone\."),
    mobilenets.v3("mobilenetv3_large_100", r"backbone\."),
    mobilevit(r"backbone\."),
    ((r"backbone\.stages\.(\d)(\..*)", r"backbone.stages_\1\2"),),  # timm's MobileViTs as classifiers
)
# What a file has and a backbone does not need: the classifier with the norm or the 1x1 convolution
# before it, and buffers that are computed from the window and the input's size.
_CLASSIFIER = re.compile(
    r"(head|fc|classifier|last_linear|norm|features\.18|conv_head|norm_head|conv2|bn2)\."
    r"|.*\.(relative_position_index|relative_coords_table|attn_mask|num_batches_tracked)$"
)


class Adapted(NamedTuple):
    """Entries of an ImageNet file under a backbone's names.

    Args:
        state: those that the backbone has.
        classifier: keys of the file, of the classifier and of computed buffers.
        others: keys of the file that are neither.
    """

    state: dict[str, Tensor]
    classifier: tuple[str, ...]
    others: tuple[str, ...]


def as_backbone(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Adapted:
    """Rename an ImageNet file's entries to those of a backbone.

    Args:
        state: as read from the file; keys may have ``backbone.`` in front.
        own: the backbone's entries.

    Returns:
        the entries of the layout that fits best, and what of the file is not among them.
    """
    # All rules expect a prefix; files of classifiers have none.
    prefixed = {_PREFIX + key.removeprefix(_PREFIX): value for key, value in state.items()}
    best: dict[str, Tensor] = {}
    left: tuple[str, ...] = ()
    most = -1
    for rules in LAYOUTS:
        renamed, unused = rename(_prepared(prefixed, rules), rules)
        candidate = {key.removeprefix(_PREFIX): value for key, value in renamed.items()}
        fitting = _fitting(candidate, own)
        # The first of equally good layouts stays.
        if fitting > most:
            best, left, most = candidate, unused, fitting
    # Keys that no rule renames are still those of the file.
    rest = [key.removeprefix(_PREFIX) for key in left]
    rest += [key for key in best if key not in own]
    classifier = tuple(key for key in rest if _CLASSIFIER.match(key))
    others = tuple(key for key in rest if key not in classifier)
    return Adapted({key: value for key, value in best.items() if key in own}, classifier, others)


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
