"""Labels made from what Cityscapes and COCO-Stuff 10k publish."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import make_cityscapes
from PIL import Image

from densekd.data.cityscapes import cityscapes
from densekd.data.cocostuff import cocostuff10k
from densekd.data.prepare import prepare_cityscapes, prepare_cocostuff10k
from densekd.errors import UserError


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


def test_without_the_official_scripts_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install 'densekd\[cityscapes\]'"):
        prepare_cityscapes(tmp_path, 1)
