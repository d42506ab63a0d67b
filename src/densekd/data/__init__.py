"""Datasets: ``DATASETS`` maps a name to the function that finds the files of one split.

``function(root, split) -> SegmentationFiles``. Your own: ``package.module:function`` with the same signature.
"""

from collections.abc import Callable

from densekd.data.ade20k import ade20k
from densekd.data.camvid import camvid
from densekd.data.cityscapes import cityscapes
from densekd.data.cocostuff import cocostuff, cocostuff10k
from densekd.data.files import SegmentationFiles
from densekd.data.folder import folder
from densekd.data.shards import shards
from densekd.data.unlabelled import unlabelled
from densekd.data.voc import voc

DATASETS: dict[str, Callable[..., SegmentationFiles]] = {
    "ade20k": ade20k,
    "camvid": camvid,
    "cityscapes": cityscapes,
    "cocostuff": cocostuff,
    "cocostuff10k": cocostuff10k,
    "folder": folder,
    "shards": shards,
    "unlabelled": unlabelled,
    "voc": voc,
}
