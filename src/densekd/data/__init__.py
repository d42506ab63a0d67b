"""Datasets: ``DATASETS`` maps a name to the function that finds the files of one split.

``function(root, split) -> SegmentationFiles``. Your own: ``package.module:function`` with the same signature.
"""

from collections.abc import Callable

from densekd.data.camvid import camvid
from densekd.data.files import SegmentationFiles
from densekd.data.folder import folder

DATASETS: dict[str, Callable[..., SegmentationFiles]] = {
    "camvid": camvid,
    "folder": folder,
}
