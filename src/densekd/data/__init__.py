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
from densekd.data.exports.coco_masks import coco_masks
from densekd.data.exports.label_studio import labelstudio, labelstudio_boxes
from densekd.data.exports.labelme import labelme, labelme_boxes
from densekd.data.exports.supervisely import supervisely, supervisely_boxes
from densekd.data.exports.yolo_masks import yolo_masks
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
    "coco-masks": coco_masks,
    "cocostuff": cocostuff,
    "cocostuff10k": cocostuff10k,
    "demo-depth": demo_depth,
    "depth": depth,
    "folder": folder,
    "labelme": labelme,
    "labelme-boxes": labelme_boxes,
    "labelstudio": labelstudio,
    "labelstudio-boxes": labelstudio_boxes,
    "shards": shards,
    "supervisely": supervisely,
    "supervisely-boxes": supervisely_boxes,
    "unlabelled": unlabelled,
    "voc": voc,
    "voc-boxes": voc_boxes,
    "yolo": yolo,
    "yolo-masks": yolo_masks,
}
