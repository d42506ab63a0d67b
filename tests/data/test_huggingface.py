"""Tables of the Hugging Face library: rows are read as files are. The tests save tables; nothing is downloaded."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densekd.builders.data import build_files
from densekd.data.folder import folder
from densekd.errors import UserError
from densekd.init.look import look
from densekd.recipe import DataSpec
from densekd.run.evaluation_data import images_of

datasets = pytest.importorskip("datasets")


def saved(data_root: Path, out: Path, columns: tuple[str, str] = ("image", "annotation")) -> Path:
    splits = {}
    for split in ("train", "val"):
        files = folder(data_root, split)
        rows: dict[str, Any] = {
            columns[0]: [str(item.image) for item in files.items],
            columns[1]: [str(item.label) for item in files.items],
        }
        features = datasets.Features(dict.fromkeys(columns, datasets.Image()))
        splits[split] = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(splits).save_to_disk(str(out))
    return out


def test_rows_are_what_the_files_are(data_root: Path, tmp_path: Path) -> None:
    table = saved(data_root, tmp_path / "table")
    found = build_files(DataSpec(dataset=f"hf:{table}", root=str(data_root)), "train")
    plain = folder(data_root, "train")
    assert len(found) == len(plain)
    found = pickle.loads(pickle.dumps(found))  # as loading processes receive it
    for k in (0, 5):
        assert all(np.array_equal(a, b) for a, b in zip(found.pair(k), plain.pair(k), strict=True))


def test_a_saved_folder_is_found_by_init(data_root: Path, tmp_path: Path) -> None:
    table = saved(data_root, tmp_path / "table")
    found = look(table)
    assert (found.data.dataset, found.data.train, found.data.val) == (f"hf:{table}", "train", "val")
    assert len(found.train) == len(folder(data_root, "train"))
    # What the numbers of the labels mean, only a person knows.
    assert any("classes.json was written" in note and "edit the names" in note for note in found.notes)
    names = found.train.classes.names
    assert names == tuple(f"class {k}" for k in range(len(names)))
    # A second time the edited names stay.
    (table / "classes.json").write_text(json.dumps({"names": [f"thing {k}" for k in range(len(names))]}))
    assert look(table).train.classes.names[0] == "thing 0"


def test_pictures_in_a_table_are_predicted_as_files_are(data_root: Path, tmp_path: Path) -> None:
    table = saved(data_root, tmp_path / "table")
    files = build_files(DataSpec(dataset=f"hf:{table}", root=str(data_root)), "val")
    with images_of(files) as place:
        found = sorted(place.iterdir())
        plain = [item.image for item in folder(data_root, "val").items]
        assert [path.read_bytes() for path in found] == [path.read_bytes() for path in plain]
    # A picture that was made in memory is a PNG in the table.
    made = {"image": [Image.new("RGB", (8, 6), "red")], "label": [Image.new("L", (8, 6))]}
    features = datasets.Features(dict.fromkeys(made, datasets.Image()))
    datasets.Dataset.from_dict(made, features=features).save_to_disk(str(tmp_path / "made"))
    spec = DataSpec(dataset=f"hf:{tmp_path / 'made'}", root=str(data_root))
    with images_of(build_files(spec, "train")) as place:
        (path,) = place.iterdir()
        assert path.suffix == ".png"
        assert Image.open(path).getpixel((0, 0)) == (255, 0, 0)


def test_one_split_is_not_validated_on_what_it_learns_from(data_root: Path, tmp_path: Path) -> None:
    table = saved(data_root, tmp_path / "table") / "train"
    with pytest.raises(
        UserError,
        match=r"holds one split; one to learn from.*\.train_test_split\(0\.2, seed=0\)",
    ):
        look(table)
    spec = DataSpec(dataset=f"hf:{table}", root=str(data_root))
    assert len(build_files(spec, "train")) == len(folder(data_root, "train"))
    with pytest.raises(UserError, match=r"holds one split, and no 'val'\. Divide it once"):
        build_files(spec, "val")


def test_what_is_missing_is_said(data_root: Path, tmp_path: Path) -> None:
    table = saved(data_root, tmp_path / "table")
    with pytest.raises(UserError, match=r"'test' of hf:.* could not be had \(KeyError"):
        build_files(DataSpec(dataset=f"hf:{table}", root=str(data_root)), "test")
    with pytest.raises(UserError, match=r"classes\.json: missing"):
        build_files(DataSpec(dataset=f"hf:{table}", root=str(tmp_path)), "train")
    other = saved(data_root, tmp_path / "other", ("photo", "label"))
    with pytest.raises(UserError, match=r"has the columns photo, label; a picture is looked for in image"):
        build_files(DataSpec(dataset=f"hf:{other}", root=str(data_root)), "train")
