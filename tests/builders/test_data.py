"""Splits joined by a plus, and divided by groups."""

from pathlib import Path
from typing import Any

import pytest
from dataset_trees import make_cityscapes

from densekd.builders.data import build_files
from densekd.data.prepare import prepare_cityscapes
from densekd.errors import RecipeError
from densekd.recipe import DataSpec, parse_recipe


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


def leaving_out(root: Path, **leave_out: object) -> DataSpec:
    return DataSpec.model_validate({"dataset": "cityscapes", "root": str(root), "leave_out": leave_out})


def test_a_group_of_joined_splits_is_the_validation_split(tmp_path: Path) -> None:
    root = make_cityscapes(tmp_path)
    pool = build_files(DataSpec(dataset="cityscapes", root=str(root)), "train+val")
    cities = {item.stem.split("/")[0] for item in pool.items}
    left = sorted(cities)[0]
    spec = leaving_out(root, pool="train+val", groups="folder", val=[left])
    train, val = build_files(spec, "train"), build_files(spec, "val")
    assert {item.stem.split("/")[0] for item in val.items} == {left}
    assert {item.stem.split("/")[0] for item in train.items} == cities - {left}
    assert len(train) + len(val) == len(pool)
    # Any other split is the dataset's own.
    assert len(build_files(spec, "train_extra")) == len(
        build_files(DataSpec(dataset="cityscapes", root=str(root)), "train_extra")
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "trainval"}, "train and val are 'train' and 'val'"),
        ({"split": {"val": 0.2}}, "split and leave_out exclude each other"),
        ({"leave_out": {"groups": "^.", "val": ["a"], "test": ["a"]}}, "'a' is in val and in test"),
        ({"leave_out": {"groups": "^.", "val": []}}, "leave_out.val"),
    ],
)
def test_a_recipe_divides_its_images_once(recipe: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    recipe["data"] |= {"leave_out": {"groups": "^.", "val": ["a"]}} | changes
    with pytest.raises(RecipeError, match=message):
        parse_recipe(recipe, "tiny.yaml")


def test_a_root_that_no_file_system_can_have_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"data\.root: '\[+' cannot be looked at: File name too long"):
        build_files(DataSpec(dataset="folder", root="[" * 5000, batch_size=1), "train")
