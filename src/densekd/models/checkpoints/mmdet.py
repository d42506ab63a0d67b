"""mmdetection's checkpoints, 2.x and 3.x: GFL, RetinaNet, Faster R-CNN on ResNets and ResNeXts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints.layout import Recognized, Rules, count, rename
from densekd.models.checkpoints.resnets import single_stem, stages, which_resnet

# Keys that are equal in all three architectures.
_BACKBONE = r"backbone\."
_NECK: Rules = ((r"neck\.lateral_convs\.(\d)\.conv(\..*)", r"neck.lateral.\1\2"),)
_TOWERS: Rules = (
    (r"bbox_head\.(cls|reg)_convs\.(\d)\.conv(\..*)", r"head.\1_tower.\2.0\3"),
    (r"bbox_head\.(cls|reg)_convs\.(\d)\.gn(\..*)", r"head.\1_tower.\2.1\3"),
)
# Keys of one head each.
_GFL: Rules = (
    *_TOWERS,
    (r"bbox_head\.gfl_(cls|reg)(\..*)", r"head.\1\2"),
    (r"bbox_head\.(scales\..*)", r"head.\1"),
    (r"bbox_head\.integral\.project", None),
)
_RETINA: Rules = (*_TOWERS, (r"bbox_head\.retina_(cls|reg)(\..*)", r"head.\1\2"))
_TWO_STAGE: Rules = (
    (r"rpn_head\.rpn_(cls|reg|conv)(\..*)", r"head.\1\2"),
    (r"roi_head\.bbox_head\.fc_(cls|reg)(\..*)", r"head.box.\1\2"),
    (r"roi_head\.bbox_head\.shared_fcs\.(\d)(\..*)", r"head.box.hidden.\1\2"),
)


def recognize(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize backbone, head and widths."""
    backbone = which_resnet(state, _BACKBONE)
    head = _head(state)
    if backbone is None or head is None or "backbone.conv1.weight" not in state:
        return None
    model, options, head_rules = head
    rules = (*single_stem(_BACKBONE), *stages(_BACKBONE), *_NECK, *_levels(state), *head_rules)
    ours, unused = rename(state, rules)
    options["backbone"] = backbone
    options["channels"] = len(state["neck.lateral_convs.0.conv.weight"])
    return Recognized("mmdetection", model, options, ours, unused)


def _levels(state: Mapping[str, Tensor]) -> Rules:
    """Rules for the pyramid's 3x3 convolutions: first those of the backbone's maps."""
    maps = count(state, r"neck\.lateral_convs\.(\d)\..*")
    levels = count(state, r"neck\.fpn_convs\.(\d)\..*")
    rules = []
    for k in range(levels):
        # Coarser levels have no map of the backbone behind them.
        ours = f"neck.output.{k}" if k < maps else f"neck.coarser.{k - maps}"
        rules.append((rf"neck\.fpn_convs\.{k}\.conv(\..*)", rf"{ours}\1"))
    return tuple(rules)


def _head(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Any], Rules] | None:
    """Return model, options and rules."""
    depth = count(state, r"bbox_head\.cls_convs\.(\d)\..*")
    if "bbox_head.gfl_cls.weight" in state:
        classes = len(state["bbox_head.gfl_cls.weight"])
        return "gfl", {"num_classes": classes, "depth": depth}, _GFL
    if "bbox_head.retina_cls.weight" in state:
        # Four deltas and C scores for each shape of anchor.
        shapes = len(state["bbox_head.retina_reg.weight"]) // 4
        classes = len(state["bbox_head.retina_cls.weight"]) // shapes
        return "retinanet", {"num_classes": classes, "depth": depth}, _RETINA
    if "roi_head.bbox_head.fc_cls.weight" in state:
        # The last score is the background's.
        classes = len(state["roi_head.bbox_head.fc_cls.weight"]) - 1
        return "faster_rcnn", {"num_classes": classes}, _TWO_STAGE
    return None
