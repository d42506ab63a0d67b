"""Pascal VOC in its official layout: lists, augmented labels, missing files."""

from pathlib import Path

import numpy as np
import pytest
from dataset_trees import make_voc

from densekd.data.voc import voc
from densekd.errors import UserError


def test_voc_splits_and_augmented_labels(tmp_path: Path) -> None:
    root = make_voc(tmp_path)
    assert [item.stem for item in voc(root, "train").items] == ["2007_000032"]
    assert [item.stem for item in voc(root, "trainaug").items] == ["2007_000032", "2008_000002"]
    assert all(item.label.parent.name == "SegmentationClassAug" for item in voc(root, "trainaug").items)
    val = voc(root / "VOCdevkit" / "VOC2012", "val")
    assert val.items[0].label.parent.name == "SegmentationClass"
    assert set(np.unique(val.label(0))) == {0, 1, 20, 255}
    with pytest.raises(UserError, match=r"Pascal VOC split 'test' not found; looked for .*Segmentation/test.txt"):
        voc(root, "test")


def test_a_voc_label_that_a_list_names_and_nobody_has(tmp_path: Path) -> None:
    root = make_voc(tmp_path)
    path = root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000033.png"
    path.unlink()
    with pytest.raises(UserError, match=r"2007_000033.png: missing, though a list of"):
        voc(root, "val")
