"""Splits joined by a plus."""

from pathlib import Path

import pytest
from dataset_trees import make_cityscapes

from densekd.builders.data import build_files
from densekd.data.prepare import prepare_cityscapes
from densekd.errors import RecipeError
from densekd.recipe import DataSpec


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
    with pytest.raises(RecipeError, match=r"'train\+val': the splits write their labels differently"):
        build_files(DataSpec(dataset="cityscapes", root=str(root)), "train+val")
