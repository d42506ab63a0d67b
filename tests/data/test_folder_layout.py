"""Folders as people have them: every layout of the same pictures gives the same pairs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_data import make_scene

from densekd.data.folder import folder
from densekd.data.holdout import Holdout
from densekd.errors import RecipeError, UserError

Put = Callable[[str, int], tuple[str, str]]


def make(root: Path, put: Put, splits: tuple[str, ...] = ("train", "val"), count: int = 3) -> Path:
    """Write scenes where ``put(split, k)`` says: paths of the image and of the label."""
    for s, split in enumerate(splits):
        for k in range(count):
            image, label = make_scene(100 * s + k, (32, 48), 3)
            for path, pixels in zip(put(split, k), (image, label), strict=True):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / path)
    (root / "classes.json").write_text(json.dumps({"names": ["a", "b", "c"]}))
    return root


LAYOUTS: dict[str, tuple[Put, dict[str, Any]]] = {
    "documented": (lambda s, k: (f"images/{s}/{k}.png", f"labels/{s}/{k}.png"), {}),
    "masks": (lambda s, k: (f"images/{s}/{k}.jpg", f"masks/{s}/{k}.png"), {}),
    "splits first": (lambda s, k: (f"{s}/images/{k}.jpg", f"{s}/masks/{k}.png"), {}),
    "suffix in folders": (lambda s, k: (f"images/{s}/{k}.jpg", f"labels/{s}/{k}_mask.png"), {}),
    "any suffix": (lambda s, k: (f"images/{s}/{k}.jpg", f"labels/{s}/{k}-ground.truth.png"), {}),
    "one folder": (lambda s, k: (f"{s}/{k}.jpg", f"{s}/{k}_mask.png"), {}),
    "one folder, two suffixes": (lambda s, k: (f"{s}/{k}.jpg", f"{s}/{k}.png"), {}),
    "one folder of PNG": (lambda s, k: (f"{s}/{k}.png", f"{s}/{k}_L.png"), {}),
    "one folder, own suffix": (lambda s, k: (f"{s}/{k}.png", f"{s}/{k}.truth.png"), {"suffix": ".truth"}),
    "nested": (lambda s, k: (f"images/{s}/d{k}/f.jpg", f"labels/{s}/d{k}/f.png"), {}),
    "own names": (lambda s, k: (f"rgb/{s}/{k}.jpg", f"sem/{s}/{k}.png"), {"images": "rgb", "labels": "sem"}),
    "capitals": (lambda s, k: (f"images/{s}/{k}.JPG", f"labels/{s}/{k}.PNG"), {}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str) -> None:
    put, options = LAYOUTS[name]
    make(tmp_path, put)
    for s, split in enumerate(("train", "val")):
        files = folder(tmp_path, split, **options)
        assert [str(item.image) for item in files.items] == [str(tmp_path / put(split, k)[0]) for k in range(3)]
        for k in range(3):
            np.testing.assert_array_equal(files.label(k), make_scene(100 * s + k, (32, 48), 3)[1])


def test_valid_is_val(tmp_path: Path) -> None:
    make(tmp_path, lambda s, k: (f"{s}/images/{k}.png", f"{s}/labels/{k}.png"), ("train", "valid"))
    assert len(folder(tmp_path, "val")) == 3


def test_two_folders_of_labels_ask_which(tmp_path: Path) -> None:
    make(tmp_path, lambda s, k: (f"images/{s}/{k}.png", f"masks/{s}/{k}.png"))
    (tmp_path / "annotations/train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"may both be the labels; say which with data.options: \{labels: NAME\}"):
        folder(tmp_path, "train")
    assert len(folder(tmp_path, "train", labels="masks")) == 3


def test_images_without_splits_say_how_to_divide_them(tmp_path: Path) -> None:
    make(tmp_path, lambda s, k: (f"images/{s}{k}.jpg", f"masks/{s}{k}.png"))
    with pytest.raises(UserError, match=r"no split 'train'; there is none. To divide the images, write data.split"):
        folder(tmp_path, "train")


@pytest.mark.parametrize("name", ["images/0.png", "labels/0.png"])
def test_a_file_without_a_partner(tmp_path: Path, name: str) -> None:
    make(tmp_path, lambda s, k: (f"images/{s}/{k}.png", f"labels/{s}/{k}.png"))
    kind, file = name.split("/")
    (tmp_path / kind / "train" / file).unlink()
    with pytest.raises(UserError, match="1 of 3 files have no"):
        folder(tmp_path, "train")


def test_one_folder_without_labels_says_what_was_looked_for(tmp_path: Path) -> None:
    make(tmp_path, lambda s, k: (f"{s}/{k}.png", f"{s}/{k}.truth.png"))
    with pytest.raises(UserError, match=r"no label beside this image; looked for .*_mask.png .* \{suffix: ...\}"):
        folder(tmp_path, "train")


def test_roboflow_semantic_masks(tmp_path: Path) -> None:
    make(tmp_path, lambda s, k: (f"{s}/{k}.jpg", f"{s}/{k}_mask.png"), ("train", "valid"))
    (tmp_path / "classes.json").unlink()
    for split in ("train", "valid"):
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, unlabeled\n1, road\n2, car\n")
    files = folder(tmp_path, "val")
    assert files.classes.names == ("unlabeled", "road", "car")
    np.testing.assert_array_equal(files.label(1), make_scene(101, (32, 48), 3)[1])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("256, car", r"car has pixel value 256; label files hold 0 to 255\."),
        ("-1, car", r"car has pixel value -1; label files hold 0 to 255\."),
        ("1, car", r"pixel value 1 is road and car; leave one\."),
        ("one, car", r"expected lines 'pixel value, class', not 'one, car'\."),
    ],
)
def test_a_value_of_roboflow_that_no_label_holds(tmp_path: Path, line: str, says: str) -> None:
    make(tmp_path, lambda s, k: (f"{s}/{k}.jpg", f"{s}/{k}_mask.png"), ("train", "valid"))
    (tmp_path / "classes.json").unlink()
    (tmp_path / "train" / "_classes.csv").write_text(f"Pixel Value, Class\n0, unlabeled\n1, road\n{line}\n")
    with pytest.raises(UserError, match=says):
        folder(tmp_path, "train")


def test_cvat_segmentation_masks(tmp_path: Path) -> None:
    """Segmentation mask 1.1: colors of labelmap.txt and one list, default.txt, as a pool."""
    colors = np.array([(0, 0, 0), (250, 50, 83), (51, 221, 255)], np.uint8)
    labels = []
    for k in range(10):
        image, label = make_scene(k, (32, 48), 3)
        label[label == 255] = 0
        labels.append(label)
        for path, pixels in (
            ("JPEGImages", image),
            ("SegmentationClass", colors[label]),
            ("SegmentationObject", image),
        ):
            (tmp_path / path).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / path / f"{k}.png")
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/default.txt").write_text("\n".join(map(str, range(10))))
    lines = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:250,50,83::\nroad:51,221,255::\n"
    (tmp_path / "labelmap.txt").write_text(lines)
    files = folder(tmp_path, "val", holdout=Holdout(val=0.2))
    assert files.classes.names == ("background", "car", "road")
    assert files.classes.palette[1] == (250, 50, 83)
    for k, item in enumerate(files.items):
        np.testing.assert_array_equal(files.label(k), labels[int(item.stem)])


def test_splits_that_are_there_are_not_drawn(tmp_path: Path) -> None:
    make(tmp_path, lambda s, k: (f"images/{s}/{k}.png", f"labels/{s}/{k}.png"))
    with pytest.raises(RecipeError, match=r"data.split: .* has splits already, train, val; remove data.split"):
        folder(tmp_path, "val", holdout=Holdout())
