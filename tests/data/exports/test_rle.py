"""Run-length encodings of COCO and Label Studio give back the mask; compared with pycocotools."""

import numpy as np
import pytest
from annotation_exports import coco_runs, pack
from pycocotools import mask as coco

from densekd.data.exports.rle import brush_mask, coco_mask


def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.random((13, 21)) < 0.4
    block = np.zeros((90, 70), bool)
    block[7:80, 11:60] = True
    return [noise, block, ~block, np.zeros((5, 4), bool), np.ones((5, 4), bool)]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
@pytest.mark.parametrize("mask", masks())
def test_coco(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(coco_mask(coco_runs(mask), mask.shape), mask)
    compressed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    np.testing.assert_array_equal(coco_mask(compressed, mask.shape), mask)
    np.testing.assert_array_equal(coco_mask(compressed.decode(), mask.shape), mask)


def test_runs_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fill 4 x 3 pixels"):
        coco_mask([3, 4], (3, 4))
    with pytest.raises(ValueError, match="its brush has 80 bytes, and its image has 64"):
        brush_mask(pack(np.ones((5, 4), bool)), (4, 4))


@pytest.mark.parametrize("mask", masks())
def test_label_studio(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(brush_mask(pack(mask), mask.shape), mask)
