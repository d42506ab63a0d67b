import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densekd.data.demo.classes import IGNORE, NAMES
from densekd.data.demo.dataset import make_demo
from densekd.data.folder import folder
from densekd.errors import UserError

SIZE = (96, 128)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def labels(root: Path, split: str) -> list[np.ndarray]:
    return [pixels(path) for path in sorted((root / "labels" / split).iterdir())]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    make_demo(root, {"train": 24, "val": 12}, SIZE, seed=0)
    return root


def test_the_layout_is_the_folder_data_set(made: Path) -> None:
    files = folder(made, "val")
    assert [item.stem for item in files.items] == [f"demo_{i:05d}" for i in range(12)]
    assert files.classes.names == NAMES
    image, label = files.pair(0)
    assert image.shape == (*SIZE, 3)
    assert label.shape == SIZE
    about = json.loads((made / "classes.json").read_text())
    assert about["num_classes"] == len(about["names"]) == len(about["palette"]) == 10
    assert about["ignore_index"] == 255
    assert len(list((made / "images" / "train").iterdir())) == 24


def test_labels_are_bytes_of_one_channel_with_known_values(made: Path) -> None:
    found = np.unique(np.concatenate([label.ravel() for label in labels(made, "train")]))
    assert all(label.ndim == 2 and label.dtype == np.uint8 for label in labels(made, "train"))
    assert found.tolist() == [*range(10), IGNORE]


def test_every_class_is_in_every_split(made: Path) -> None:
    for split in ("train", "val"):
        counts = np.bincount(np.concatenate([label.ravel() for label in labels(made, split)]), minlength=256)
        assert (counts[:10] > 200).all(), counts[:10]
        assert counts[IGNORE] < 0.01 * counts.sum()


def test_every_image_has_several_classes_and_no_class_fills_it(made: Path) -> None:
    for label in labels(made, "train"):
        counts = np.bincount(label.ravel(), minlength=256)[:10]
        assert (counts > 0).sum() >= 5
        assert counts.max() < 0.75 * label.size


def test_color_alone_does_not_tell_the_classes(made: Path) -> None:
    # Means and spreads of one color channel overlap for the classes that shape and place must separate.
    images = np.stack([pixels(path) for path in sorted((made / "images" / "train").iterdir())])
    kinds = np.stack(labels(made, "train"))
    for first, second in (("road", "pavement"), ("pole", "pedestrian"), ("car", "pedestrian"), ("pole", "bicycle")):
        a, b = (images[kinds == NAMES.index(name)].astype(float) for name in (first, second))
        assert (np.abs(a.mean(0) - b.mean(0)) < a.std(0) + b.std(0)).all(), (first, second)


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_demo(tmp_path / name, {"train": 2, "val": 1}, (48, 64), seed=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_seed_split_and_index_each_change_the_picture(tmp_path: Path) -> None:
    make_demo(tmp_path / "a", {"train": 2, "val": 1}, (48, 64), seed=3)
    make_demo(tmp_path / "b", {"train": 1}, (48, 64), seed=4)
    pictures = [
        content for root in ("a", "b") for path, content in contents(tmp_path / root).items() if "images" in path
    ]
    assert len(pictures) == len(set(pictures)) == 4


def test_a_split_does_not_depend_on_the_others(tmp_path: Path) -> None:
    make_demo(tmp_path / "a", {"train": 3, "val": 2}, (48, 64), seed=0)
    make_demo(tmp_path / "b", {"val": 1}, (48, 64), seed=0)
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    for kind in ("images", "labels"):
        assert first[f"{kind}/val/demo_00000.png"] == second[f"{kind}/val/demo_00000.png"]


def test_a_finished_set_is_kept(tmp_path: Path) -> None:
    make_demo(tmp_path, {"train": 1}, (48, 64), seed=0)
    image = tmp_path / "images" / "train" / "demo_00000.png"
    image.write_bytes(b"touched")
    make_demo(tmp_path, {"train": 1}, (48, 64), seed=0)
    assert image.read_bytes() == b"touched"


def test_other_settings_make_it_again_without_leftovers(tmp_path: Path) -> None:
    make_demo(tmp_path, {"train": 3, "val": 1}, (48, 64), seed=0)
    make_demo(tmp_path, {"train": 1}, (48, 64), seed=1)
    assert list(contents(tmp_path)) == ["classes.json", "images/train/demo_00000.png", "labels/train/demo_00000.png"]
    assert json.loads((tmp_path / "classes.json").read_text())["made_with"]["seed"] == 1


def test_an_unfinished_set_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rng: np.random.Generator, size: tuple[int, int]) -> None:
        raise KeyboardInterrupt

    make_demo(tmp_path, {"train": 2}, (48, 64), seed=0)
    whole = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("densekd.data.demo.dataset.draw_scene", broken)
        with pytest.raises(KeyboardInterrupt):
            make_demo(tmp_path, {"train": 2}, (48, 64), seed=1)
    assert not (tmp_path / "classes.json").exists()
    make_demo(tmp_path, {"train": 2}, (48, 64), seed=0)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("text", ['{"names": ["a"]}', "[]", "not json"])
def test_somebody_elses_dataset_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(UserError, match="holds another dataset"):
        make_demo(tmp_path, {"train": 1}, (48, 64), seed=0)
    assert contents(tmp_path) == {"classes.json": text.encode()}
