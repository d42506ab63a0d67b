"""mmdetection's GFL, RetinaNet and Faster R-CNN on ResNets and ResNeXts, 2.x and 3.x."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints.layout import Recognized, Rules, count, rename
from densekd.models.checkpoints.resnets import single_stem, stages, which_resnet

_BACKBONE = r"backbone\."
_NECK: Rules = ((r"neck\.lateral_convs\.(\d)\.conv(\..*)", r"neck.lateral.\1\2"),)
_TOWERS: Rules = (
    (r"bbox_head\.(cls|reg)_convs\.(\d)\.conv(\..*)", r"head.\1_tower.\2.0\3"),
    (r"bbox_head\.(cls|reg)_convs\.(\d)\.gn(\..*)", r"head.\1_tower.\2.1\3"),
)
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
    """Recognise backbone, head and widths."""
    backbone, head = which_resnet(state, _BACKBONE), _head(state)
    if backbone is None or head is None or "backbone.conv1.weight" not in state:
        return None
    model, options, rules = head
    rules = (*single_stem(_BACKBONE), *stages(_BACKBONE), *_NECK, *_levels(state), *rules)
    ours, unused = rename(state, rules)
    options |= {"backbone": backbone, "channels": len(state["neck.lateral_convs.0.conv.weight"])}
    return Recognized("mmdetection", model, options, ours, unused)


def _levels(state: Mapping[str, Tensor]) -> Rules:
    """The first convolutions are those of the backbone's maps, one for each lateral one; the others go on from them."""
    maps = count(state, r"neck\.lateral_convs\.(\d)\..*")
    number = count(state, r"neck\.fpn_convs\.(\d)\..*")
    rules = [(rf"neck\.fpn_convs\.{k}\.conv(\..*)", rf"neck.output.{k}\1") for k in range(maps)]
    return (
        *rules,
        *((rf"neck\.fpn_convs\.{k}\.conv(\..*)", rf"neck.coarser.{k - maps}\1") for k in range(maps, number)),
    )


def _head(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Any], Rules] | None:
    """Return model, options and rules."""
    depth = {"depth": count(state, r"bbox_head\.cls_convs\.(\d)\..*")}
    if "bbox_head.gfl_cls.weight" in state:
        return "gfl", {"num_classes": len(state["bbox_head.gfl_cls.weight"]), **depth}, _GFL
    if "bbox_head.retina_cls.weight" in state:
        shapes = len(state["bbox_head.retina_reg.weight"]) // 4
        return "retinanet", {"num_classes": len(state["bbox_head.retina_cls.weight"]) // shapes, **depth}, _RETINA
    if "roi_head.bbox_head.fc_cls.weight" in state:
        return "faster_rcnn", {"num_classes": len(state["roi_head.bbox_head.fc_cls.weight"]) - 1}, _TWO_STAGE
    return None
