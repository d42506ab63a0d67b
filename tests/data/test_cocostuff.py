"""COCO-Stuff in its official layout: 171 of 182 ids are classes."""

from pathlib import Path

import numpy as np
from dataset_trees import make_cocostuff
from PIL import Image

from densekd.data.cocostuff import UNUSED, cocostuff


def test_cocostuff_has_171_of_182_ids(tmp_path: Path) -> None:
    files = cocostuff(make_cocostuff(tmp_path), "val")
    assert len(UNUSED) == 182 - 171
    raw = np.array(Image.open(files.items[0].label))
    expected = {0: 0, 10: 10, 12: 11, 181: 170, 255: 255}
    assert files.label(0).tolist() == np.vectorize(expected.__getitem__)(raw).tolist()


def test_an_id_that_cocostuff_does_not_use_is_void(tmp_path: Path) -> None:
    root = make_cocostuff(tmp_path)
    Image.fromarray(np.full((64, 128), 11, np.uint8)).save(next((root / "annotations" / "val2017").iterdir()))
    assert 255 in {int(value) for k in range(2) for value in np.unique(cocostuff(root, "val").label(k))}
