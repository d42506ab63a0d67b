"""Cityscapes, ADE20K, Pascal VOC and COCO-Stuff in their official layouts: found, mapped, and complained about."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import make_ade20k, make_cityscapes, make_cocostuff, make_voc

from densekd.builders.data import build_files
from densekd.data import DATASETS
from densekd.data.ade20k import ade20k
from densekd.data.cityscapes import cityscapes
from densekd.data.cocostuff import UNUSED, cocostuff, cocostuff10k
from densekd.data.folder import published_classes
from densekd.data.prepare import prepare_cityscapes, prepare_cocostuff10k
from densekd.data.voc import voc
from densekd.errors import RecipeError, UserError
from densekd.recipe import DataSpec


@pytest.mark.parametrize(("name", "count"), [("cityscapes", 19), ("ade20k", 150), ("voc", 21), ("cocostuff", 171)])
def test_classes_are_complete(name: str, count: int) -> None:
    classes = published_classes(name)
    assert len(classes.names) == len(set(classes.names)) == len(classes.palette) == count
    assert classes.ignore_index == 255
    assert len(classes.submission) in (0, count)


def test_cityscapes_ids_are_the_official_ones() -> None:
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    classes = published_classes("cityscapes")
    official = sorted((label.trainId, label) for label in labels if label.trainId not in (-1, 255))
    assert [label.name for _, label in official] == list(classes.names)
    assert [label.id for _, label in official] == list(classes.submission)
    assert [label.color for _, label in official] == list(classes.palette)


@pytest.mark.parametrize("nested", ["", "cityscapes"])
def test_cityscapes_label_ids_are_mapped_as_they_are_read(tmp_path: Path, nested: str) -> None:
    make_cityscapes(tmp_path / nested)
    files = cityscapes(tmp_path, "val")
    assert [item.stem for item in files.items] == [f"frankfurt/frankfurt_{k:06}_000019" for k in range(2)]
    raw = np.array(Image.open(files.items[0].label))
    official = {7: 0, 8: 1, 24: 11, 26: 13, 33: 18}
    assert files.label(0).tolist() == np.vectorize(lambda value: official.get(value, 255))(raw).tolist()
    image, label = files.pair(1)
    assert image.shape[:2] == label.shape


@pytest.mark.parametrize(
    ("split", "kind", "count"),
    [
        ("train", "gtFine", 4),
        ("train_extra", "gtCoarse", 2),
        ("train-coarse", "gtCoarse", 4),
        ("val-coarse", "gtCoarse", 2),
    ],
)
def test_cityscapes_fine_and_coarse(tmp_path: Path, split: str, kind: str, count: int) -> None:
    files = cityscapes(make_cityscapes(tmp_path), split)
    assert len(files) == count
    assert all(kind in item.label.name for item in files.items)


def test_parts_are_joined_by_plus(tmp_path: Path) -> None:
    spec = DataSpec(dataset="cityscapes", root=str(make_cityscapes(tmp_path)))
    joined = build_files(spec, "train+train_extra+val")
    assert len(joined) == 8
    assert {item.label.parts[-4] for item in joined.items} == {"gtFine", "gtCoarse"}


def test_parts_that_write_labels_differently_are_not_joined(tmp_path: Path) -> None:
    pytest.importorskip("cityscapesscripts")
    root = make_cityscapes(tmp_path)
    prepare_cityscapes(root, 1)
    for path in (root / "gtFine" / "val").rglob("*labelTrainIds.png"):
        path.unlink()
    with pytest.raises(RecipeError, match=r"'train\+val' write their labels differently"):
        build_files(DataSpec(dataset="cityscapes", root=str(root)), "train+val")


def test_prepared_cityscapes_equals_what_is_mapped_on_the_fly(tmp_path: Path) -> None:
    pytest.importorskip("cityscapesscripts")
    root = make_cityscapes(tmp_path)
    mapped = cityscapes(root, "train")
    labels = [mapped.label(k) for k in range(len(mapped))]
    assert prepare_cityscapes(root, 2) == 2 * (4 + 2) + 2
    prepared = cityscapes(root, "train")
    assert not prepared.label_map
    assert all("labelTrainIds" in item.label.name for item in prepared.items)
    assert all(np.array_equal(prepared.label(k), label) for k, label in enumerate(labels))
    assert prepare_cityscapes(root, 2) == 0


def test_a_damaged_polygon_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("cityscapesscripts")
    root = make_cityscapes(tmp_path)
    path = next((root / "gtFine").rglob("*_polygons.json"))
    path.write_text("{")
    with pytest.raises(UserError, match=f"{path.name}: cannot be converted"):
        prepare_cityscapes(root, 1)


def test_cityscapes_without_labels_says_what_to_do(tmp_path: Path) -> None:
    root = make_cityscapes(tmp_path)
    for path in (root / "gtFine" / "val").rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match=r"no gtFine labels in it.*densekd data prepare cityscapes"):
        cityscapes(root, "val")
    with pytest.raises(UserError, match=r"Cityscapes images of 'test' not found; looked for .*leftImg8bit/test and"):
        cityscapes(root, "test")


@pytest.mark.parametrize("inside", ["", "ADEChallengeData2016"])
def test_ade20k_zero_is_void(tmp_path: Path, inside: str) -> None:
    root = make_ade20k(tmp_path) / inside
    files = ade20k(root, "val")
    raw = np.array(Image.open(files.items[0].label)).astype(int)
    assert files.label(0).tolist() == np.where(raw == 0, 255, raw - 1).tolist()
    assert files.label(0).max() == 255
    assert 149 in files.label(0)
    assert len(ade20k(root, "train")) == 2


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


def test_cocostuff10k_from_its_mat_files(tmp_path: Path) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "imageLists").mkdir()
    values = np.array([[0, 1, 11, 12], [13, 92, 182, 91]])
    for name in ("train", "test"):
        stem = f"COCO_{name}2014_000000000001"
        Image.new("RGB", (4, 2)).save(tmp_path / "images" / f"{stem}.jpg")
        savemat(tmp_path / "annotations" / f"{stem}.mat", {"S": values.astype(np.uint16)})
        (tmp_path / "imageLists" / f"{name}.txt").write_text(stem + "\n")
    assert prepare_cocostuff10k(tmp_path, 1) == 2
    for split in ("train", "val"):
        files = cocostuff10k(tmp_path, split)
        # Ids from 1; 12 and 91 are of the unused ones, 11 of them lie below 182.
        assert files.label(0).tolist() == [[255, 0, 10, 255], [11, 80, 170, 255]]
    assert prepare_cocostuff10k(tmp_path, 1) == 0


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"folder", "camvid"}))
def test_an_empty_root_says_what_was_looked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "classes.json").write_text('{"names": ["road", "car"]}')
    with pytest.raises(UserError, match=r"looked for|no images"):
        DATASETS[name](tmp_path, "train")


def test_without_the_official_scripts_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install 'densekd\[cityscapes\]'"):
        prepare_cityscapes(tmp_path, 1)
