"""Pascal VOC in its official layout: lists, augmented labels, missing files."""

from pathlib import Path

import numpy as np
import pytest
from dataset_trees import blocks, make_voc, picture, write

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


@pytest.mark.parametrize(
    ("stem", "suffix"),
    [("street 1", ".jpg"), ("a.b", ".JPG"), ("c", ".tiff"), ("d", ".webp"), ("e", ".bmp"), ("f", ".PNG")],
)
def test_own_images_have_any_name(stem: str, suffix: str, tmp_path: Path) -> None:
    write(picture(1), tmp_path / "JPEGImages" / f"{stem}{suffix}")
    write(blocks(1, (0, 1, 255)), tmp_path / "SegmentationClass" / f"{stem}.png")
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text(f"{stem}\n")
    files = voc(tmp_path, "train")
    assert [item.stem for item in files.items] == [stem]
    assert files.image(0).shape[:2] == files.label(0).shape


def test_an_export_of_cvat_is_named(tmp_path: Path) -> None:
    root = make_voc(tmp_path) / "VOCdevkit" / "VOC2012"
    (root / "labelmap.txt").write_text("background:0,0,0::\n")
    with pytest.raises(UserError, match=r"labelmap\.txt: .*export of CVAT: write data\.dataset: folder"):
        voc(tmp_path, "train")
    (root / "classes.json").write_text('{"names": ["a", "b"]}')
    assert voc(tmp_path, "train").classes.names == ("a", "b")
