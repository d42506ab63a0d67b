"""Labels as people have them: every coding of the same masks is read as the same class numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_data import make_scene

from densekd.data.files import SegmentationFiles
from densekd.data.folder import folder
from densekd.errors import RecipeError, UserError

PALETTE = [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
COLORS = np.array(PALETTE, np.uint8)
Write = Callable[[np.ndarray], Image.Image]


def scene(k: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    image, label = make_scene(k, (32, 48), classes)
    label[:2, :2] = 0
    return image, label


def make(root: Path, write: Write, classes: int = 3, ending: str = ".png", **more: Any) -> Path:
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for k in range(2):
            image, label = scene(k, classes)
            Image.fromarray(image).save(root / "images" / split / f"{k}.png")
            write(label).save(root / "labels" / split / f"{k}{ending}")
    content = {"names": ["road", "car", "tree"][:classes], **more}
    (root / "classes.json").write_text(json.dumps(content))
    return root


def palette_image(label: np.ndarray) -> Image.Image:
    picture = Image.fromarray(label).convert("P")
    picture.putdata(label.ravel().tolist())
    picture.putpalette([value for color in PALETTE for value in color])
    return picture


def shuffled_palette(label: np.ndarray) -> Image.Image:
    """Indices in an order of the tool's own; what a viewer shows are the colors of the classes."""
    picture = Image.fromarray((2 - label).astype(np.uint8)).convert("P")
    picture.putdata((2 - label).ravel().tolist())
    picture.putpalette([value for color in PALETTE[::-1] for value in color])
    return picture


def colors(label: np.ndarray) -> Image.Image:
    return Image.fromarray(COLORS[label])


def numbers(label: np.ndarray) -> Image.Image:
    return Image.fromarray(label)


def check(files: SegmentationFiles, classes: int = 3) -> None:
    for k in range(2):
        np.testing.assert_array_equal(files.label(k), scene(k, classes)[1])


@pytest.mark.parametrize(
    ("write", "more"),
    [
        (numbers, {}),
        (palette_image, {}),
        (palette_image, {"palette": PALETTE}),
        (shuffled_palette, {"palette": PALETTE}),
        (colors, {"palette": PALETTE}),
        (lambda label: colors(label).convert("RGBA"), {"palette": PALETTE}),
        (lambda label: Image.fromarray(label).convert("RGB"), {}),
        (lambda label: Image.fromarray(label).convert("RGB"), {"palette": PALETTE}),
        (lambda label: Image.fromarray(label).convert("LA"), {}),
        (lambda label: Image.fromarray(label.astype(np.uint16)), {}),
        (lambda label: Image.fromarray(label + 1), {}),
        (lambda label: Image.fromarray(label + 1), {"ignore_index": 0}),
        (lambda label: Image.fromarray(label + 1), {"void": 0}),
        (lambda label: Image.fromarray(label * 100), {"palette": [[0] * 3, [100] * 3, [200] * 3]}),
    ],
)
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_one_mask_in_every_coding(tmp_path: Path, write: Write, more: dict[str, Any], ending: str) -> None:
    files = folder(make(tmp_path, write, ending=ending, **more), "train")
    assert files.classes.names == ("road", "car", "tree")
    check(files)


@pytest.mark.parametrize(
    "write",
    [
        lambda label: Image.fromarray(label * 255),
        lambda label: Image.fromarray(label * 255).convert("RGB"),
        lambda label: Image.fromarray(label.astype(bool)),
    ],
)
def test_two_classes_of_black_and_white(tmp_path: Path, write: Write) -> None:
    files = folder(make(tmp_path, write, classes=2), "val")
    check(files, classes=2)
    if write(np.ones((1, 1), np.uint8)).mode != "1":
        assert files.notes == (f"{tmp_path / 'classes.json'}: labels hold 0 and 255, read as 'road' and 'car'.",)
        # What is asked for is not said.
        assert folder(tmp_path, "val", coding="binary").notes == ()


def test_void_of_two_classes_stays_void(tmp_path: Path) -> None:
    def write(label: np.ndarray) -> Image.Image:
        label = label.copy()
        label[:4, :4] = 255
        return Image.fromarray(label)

    label = folder(make(tmp_path, write, classes=2), "train").label(0)
    assert set(label.ravel().tolist()) == {0, 1, 255}


def test_the_documented_layout_is_read_as_it_is(tmp_path: Path) -> None:
    files = folder(make(tmp_path, numbers), "train")
    assert files.label_map == {}
    assert files.classes.ignore_index == 255
    assert files.notes == ()


def test_zero_in_labels_from_one_is_refused_where_it_is_not_void(tmp_path: Path) -> None:
    def write(label: np.ndarray) -> Image.Image:
        shifted = label + 1
        shifted[0, 0] = 0
        return Image.fromarray(shifted)

    files = folder(make(tmp_path, write), "train")
    with pytest.raises(UserError, match=r"label value 3 at row .*Name its class in classes.json, or"):
        files.label(0)
    ignoring = folder(tmp_path, "train", ignore=(0,))
    assert ignoring.label(0)[0, 0] == 255
    assert ignoring.label(0)[0, 1] == 0


def test_an_ignored_class_is_dropped(tmp_path: Path) -> None:
    files = folder(make(tmp_path, numbers, palette=PALETTE), "train", ignore=("car",))
    assert files.classes.names == ("road", "tree")
    assert files.classes.palette == ((0, 0, 0), (0, 128, 0))
    expected = np.array([0, 255, 1], np.uint8)[scene(0)[1]]
    np.testing.assert_array_equal(files.label(0), expected)


def test_ignoring_zero_of_classes_from_zero_drops_the_first(tmp_path: Path) -> None:
    files = folder(make(tmp_path, numbers), "train", ignore=(0,))
    assert files.classes.names == ("car", "tree")
    np.testing.assert_array_equal(files.label(0), np.array([255, 0, 1], np.uint8)[scene(0)[1]])


@pytest.mark.parametrize(
    ("meaning", "names", "table"),
    [
        ({"tree": "road"}, ("road", "car"), [0, 1, 0]),
        ({2: 0}, ("road", "car"), [0, 1, 0]),
        ({"car": "vehicle"}, ("road", "vehicle", "tree"), [0, 1, 2]),
        ({"car": "thing", "tree": "thing"}, ("road", "thing"), [0, 1, 1]),
        ({0: None}, ("car", "tree"), [255, 0, 1]),
        ({0: 1, 1: 0}, ("road", "car", "tree"), [1, 0, 2]),
    ],
)
def test_classes_are_merged_renamed_and_dropped(
    tmp_path: Path, meaning: dict[int | str, int | str | None], names: tuple[str, ...], table: list[int]
) -> None:
    files = folder(make(tmp_path, numbers), "train", map=meaning)
    assert files.classes.names == names
    np.testing.assert_array_equal(files.label(0), np.array(table, np.uint8)[scene(0)[1]])


def test_a_value_without_a_name_is_given_a_class(tmp_path: Path) -> None:
    files = folder(make(tmp_path, lambda label: Image.fromarray(np.where(label == 2, 7, label))), "train", map={7: 0})
    assert files.classes.names == ("road", "car", "tree")
    np.testing.assert_array_equal(files.label(0), np.array([0, 1, 0], np.uint8)[scene(0)[1]])


def test_colors_without_a_class(tmp_path: Path) -> None:
    def write(label: np.ndarray) -> Image.Image:
        shown = COLORS[label]
        shown[0, 0] = (224, 224, 192)
        return Image.fromarray(shown)

    root = make(tmp_path, write, palette=PALETTE)
    with pytest.raises(UserError, match=r"the color \[224, 224, 192\] at row 0, column 0 is no class's.*ignore: \[\["):
        folder(root, "train").label(0)
    assert folder(root, "train", ignore=((224, 224, 192),)).label(0)[0, 0] == 255


@pytest.mark.parametrize(
    ("write", "more", "message"),
    [
        (colors, {}, r'RGB colors, .*\[128, 0, 0\].* names no colors. Write "palette"'),
        (colors, {"palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}, "names none of them"),
        (lambda label: Image.fromarray(scene(0)[0] // 2 * 2), {}, "RGB colors|more than 4096 colors"),
    ],
)
def test_colors_that_mean_nothing(tmp_path: Path, write: Write, more: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        folder(make(tmp_path, write, **more), "train")


def test_jpeg_labels_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels cannot be JPEG. JPEG changes pixel values"):
        folder(make(tmp_path, numbers, ending=".jpg"), "train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": ("rode",)}, "data.options.ignore: 'rode' is no class. Did you mean 'road'"),
        ({"map": {2: 9}}, "data.options.map: 9 is no class's value in the label files; they are 0 road, 1 car, 2 tree"),
        ({"ignore": (300,)}, "300 is no label value"),
        ({"ignore": (0, 1, 2)}, "leave no class to learn"),
        ({"coding": "binary"}, "binary is for two classes"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        folder(make(tmp_path, numbers), "train", **options)


@pytest.mark.parametrize(("files", "last"), [(43, 3), (500, 1)])
def test_a_rare_class_is_found_wherever_it_is(tmp_path: Path, files: int, last: int) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind / "train").mkdir(parents=True)
    empty = np.zeros((8, 8), np.uint8)
    for k in range(files):
        label = empty.copy()
        # Nothing but background in nearly all files: defects are rare.
        label[2:4, 2:4] = 255 if k >= files - last else 0
        Image.fromarray(empty).save(tmp_path / "images" / "train" / f"{k:04}.png")
        Image.fromarray(label).save(tmp_path / "labels" / "train" / f"{k:04}.png")
    (tmp_path / "classes.json").write_text(json.dumps({"names": ["fine", "defect"]}))
    found = folder(tmp_path, "train")
    assert found.label(files - 1)[2:4, 2:4].tolist() == [[1, 1], [1, 1]]
    assert "labels hold 0 and 255" in found.notes[0]


@pytest.mark.parametrize("content", [["road", "car", "tree"], {"0": "road", "2": "tree", "1": "car"}])
def test_names_alone_are_a_class_file(tmp_path: Path, content: Any) -> None:
    make(tmp_path, numbers)
    (tmp_path / "classes.json").write_text(json.dumps(content))
    files = folder(tmp_path, "train")
    assert files.classes.names == ("road", "car", "tree")
    check(files)


@pytest.mark.parametrize(
    ("content", "message"), [(7, "it holds 7, not an object"), ({"1": "a"}, "numbered 1, not from 0")]
)
def test_what_is_no_class_file(tmp_path: Path, content: Any, message: str) -> None:
    make(tmp_path, numbers)
    (tmp_path / "classes.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        folder(tmp_path, "train")
