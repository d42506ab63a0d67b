from pathlib import Path

import pytest
from tiny_data import make_folder

from densekd.data.folder import folder
from densekd.errors import UserError


def test_a_split_is_found(data_root: Path) -> None:
    files = folder(data_root, "val")
    assert [item.stem for item in files.items] == ["000", "001", "002"]
    assert files.classes.names == ("class0", "class1", "class2")
    image, label = files.pair(0)
    assert image.shape == (32, 48, 3)
    assert set(label.ravel().tolist()) == {0, 1, 2, 255}


def test_a_missing_split_lists_the_splits(data_root: Path) -> None:
    with pytest.raises(UserError, match=r"/images: no split 'test'; there is train, val\.$"):
        folder(data_root, "test")


def test_images_without_any_split(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"/images: no split 'train'; there is none\.$"):
        folder(tmp_path, "train")


def test_a_root_without_images_folder(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"names": ["a"]}')
    with pytest.raises(UserError, match=r"/images/train: no such folder\.$"):
        folder(tmp_path, "train")


def test_a_missing_root(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"/nowhere: no such data folder\.$"):
        folder(tmp_path / "nowhere", "train")


def test_a_missing_classes_file_says_what_to_write(tmp_path: Path) -> None:
    make_folder(tmp_path, {"train": 1})
    (tmp_path / "classes.json").unlink()
    with pytest.raises(UserError) as error:
        folder(tmp_path, "train")
    assert str(error.value) == (f'{tmp_path}/classes.json: missing. Write {{"names": ["road", "car", ...]}} there.')
