"""Parts that recipes of several systems share: data sets, input pipelines, terms."""

from collections.abc import Mapping
from typing import Any

Content = dict[str, Any]

# The systems' short names of data sets: where the data lies and how its splits are called here.
DATA: Mapping[str, Content] = {
    "citys": {"dataset": "cityscapes", "root": "data/cityscapes"},
    "voc": {"dataset": "voc", "root": "data/VOCdevkit/VOC2012", "train": "trainaug"},
    "ade20k": {"dataset": "ade20k", "root": "data/ade/ADEChallengeData2016"},
    "camvid": {"dataset": "camvid", "root": "data/camvid"},
    "coco_stuff_164k": {"dataset": "cocostuff", "root": "data/coco_stuff164k"},
    "coco_stuff_10k": {"dataset": "cocostuff10k", "root": "data/coco_stuff10k"},
}
COCO: Content = {
    "dataset": "coco",
    "root": "data/coco",
    "train": "train2017",
    "val": "val2017",
    "short_side": 800,
    "long_side": 1333,
}
# Images of COCO 2017 with boxes, which make an epoch of its configurations.
COCO_IMAGES = 117_266


def both(tap: str | list[str]) -> Content:
    """Name one tap for student and teacher."""
    return {"student": tap, "teacher": tap}


def term(method: str, weight: Any, options: Content | None = None, **where: Any) -> Content:
    """Write one entry of ``distill``.

    Args:
        method: name in ``LOSSES``.
        weight: a number, or a schedule.
        options: of the loss.
        where: taps, adapter, ``resize_to``.
    """
    content: Content = {"method": method, "weight": weight}
    if options:
        content["options"] = options
    return content | where
