"""Datasets: ``DATASETS`` maps a name to the function that finds the images and labels of a split.

``function(root, split)`` returns :class:`densekd.data.contract.Files`: images with their labels,
boxes or maps. Your own: ``package.module:function`` with the same signature.
"""

from collections.abc import Callable

from densekd.data.ade20k import ade20k
from densekd.data.camvid import camvid
from densekd.data.cityscapes import cityscapes
from densekd.data.coco import coco
from densekd.data.cocostuff import cocostuff, cocostuff10k
from densekd.data.contract import Files
from densekd.data.depth import demo_depth, depth
from densekd.data.folder import folder
from densekd.data.shards import shards
from densekd.data.unlabelled import unlabelled
from densekd.data.voc import voc
from densekd.data.voc_boxes import voc_boxes
from densekd.data.yolo import yolo

DATASETS: dict[str, Callable[..., Files]] = {
    "ade20k": ade20k,
    "camvid": camvid,
    "cityscapes": cityscapes,
    "coco": coco,
    "cocostuff": cocostuff,
    "cocostuff10k": cocostuff10k,
    "demo-depth": demo_depth,
    "depth": depth,
    "folder": folder,
    "shards": shards,
    "unlabelled": unlabelled,
    "voc": voc,
    "voc-boxes": voc_boxes,
    "yolo": yolo,
}
