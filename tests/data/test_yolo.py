"""YOLO's text files are found and read; whatever is wrong is named with its file and line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dataset_trees import make_yolo, picture, write

from densekd.data import DATASETS
from densekd.data.detection import DetectionFiles
from densekd.data.yolo import yolo
from densekd.errors import UserError


def test_what_is_read(tmp_path: Path) -> None:
    files = DATASETS["yolo"](make_yolo(tmp_path), "train")
    assert isinstance(files, DetectionFiles)
    assert files.classes.names == ("cell", "dust")
    assert files.categories == (0, 1)
    assert [(item.stem, item.number, item.size) for item in files.items] == [("a", 1, (64, 128)), ("b", 2, (64, 128))]
    boxes, labels, crowd, area = files.items[0].truth
    assert boxes.tolist() == [[48, 16, 80, 48], [12, 12, 20, 20]]
    assert labels.tolist() == [1, 0]
    assert crowd.tolist() == [False, False]
    assert area.tolist() == [32 * 32, 8 * 8]
    assert files.items[1].truth.boxes.shape == (0, 4)
    assert [item.stem for item in yolo(tmp_path / "data.yaml", "val").items] == ["c"]


def test_a_class_number_of_hundreds_of_digits_is_no_number(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(f"train: images/train\nnames: {{'{'9' * 500}': dust, 0: cell}}\n")
    with pytest.raises(UserError, match="'names' must name the classes 0 to 1"):
        yolo(tmp_path, "train")


@pytest.mark.parametrize("names", ["[cell, dust]", "{1: dust, 0: cell}"])
def test_names_are_a_list_or_numbered(tmp_path: Path, names: str) -> None:
    make_yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(f"train: images/train\nnames: {names}\n")
    assert yolo(tmp_path, "train").classes.names == ("cell", "dust")


@pytest.mark.parametrize(
    ("home", "place"),
    [
        ("", "images/train"),
        ("", "../images/train"),
        ("/nowhere", "images/train"),
        (".", "[images/train]"),
        ("../set", "list.txt"),
        ("/nowhere", "dots.txt"),
        (".", "[images/train, list.txt]"),
    ],
)
def test_a_split_is_a_folder_a_list_or_several(tmp_path: Path, home: str, place: str) -> None:
    make_yolo(tmp_path / "set")
    (tmp_path / "set/list.txt").write_text("images/train/a.png\nimages/train/b.png\n")
    (tmp_path / "set/dots.txt").write_text("./images/train/a.png\n./images/train/b.png\n")
    (tmp_path / "set/data.yaml").write_text(f"path: {home}\ntrain: {place}\nnames: [cell, dust]\n")
    files = yolo(tmp_path / "set", "train")
    assert [(item.stem, len(item.truth.boxes)) for item in files.items] == [("a", 2), ("b", 0)]


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("train/images/a.png", "train/labels/a.txt"),
        ("images/images/a.png", "images/labels/a.txt"),
        ("train/a.png", "train/a.txt"),
    ],
)
def test_boxes_are_where_labels_stands_for_the_last_images(tmp_path: Path, image: str, label: str) -> None:
    write(picture(0), tmp_path / image)
    (tmp_path / label).parent.mkdir(exist_ok=True)
    (tmp_path / label).write_text("0 0.5 0.5 1 1")
    (tmp_path / "data.yaml").write_text(f"train: {Path(image).parent}\nnames: [cell]\n")
    assert yolo(tmp_path, "train").items[0].truth.boxes.tolist() == [[0, 0, 128, 64]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "the class must be 0 to 1, not '2 0.5 0.5 0.1 0.1'"),
        ("-1 0.5 0.5 0.1 0.1", "the class must be 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "the class must be 0 to 1"),
        ("0 64 32 10 10", "the box must be in shares of the image's width and height, between 0 and 1"),
        ("0 0.5 0.5 nan 0.1", "the box must be in shares"),
        ("0 0.5 0.5 0.1", "expected a class and the box's center x, center y, width and height"),
        ("0 0.1 0.1 0.2 0.1 0.2", "expected a class and the box's"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.3", "expected a class and the box's"),
        ("cell 0.5 0.5 0.1 0.1", "could not convert string to float: 'cell'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    make_yolo(tmp_path)
    path = tmp_path / "labels/train/b.txt"
    path.write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(UserError) as caught:
        yolo(tmp_path, "train")
    assert str(caught.value).startswith(f"{path}, line 2: {message}")


def describe(text: str) -> Callable[[Path], None]:
    return lambda root: (root / "data.yaml").write_text(text) and None


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (describe("names: [a]\ntrain: images/train\n"), "data.yaml: no split 'val'; there is train."),
        (describe("names: [a]\nval:\n"), "data.yaml: no split 'val'; there is none."),
        (describe("val: images/val\n"), "data.yaml: 'names' must list the classes, at least one."),
        (describe("names: []\nval: images/val\n"), "data.yaml: 'names' must list the classes, at least one."),
        (describe("names: {1: a}\nval: images/val\n"), "data.yaml: 'names' must name the classes 0 to 0; it has 1."),
        (describe("names: [a, a]\nval: images/val\n"), "data.yaml: two classes are named 'a'"),
        (describe("names: [a]\nval: images/none\n"), "data.yaml: 'images/none' not found; looked for"),
        (describe("names: [a]\nval: labels\n"), "data.yaml: no images in labels"),
        (describe("names: [a\n"), "data.yaml: not readable as YAML"),
        (describe("7"), "data.yaml: expected 'names', 'train' and 'val'."),
        (
            lambda root: (root / "data.yaml").unlink(),
            "looked for one data.yaml with 'names', 'train' and 'val'; there is",
        ),
        (lambda root: (root / "images/val/c.png").write_bytes(b"no"), "c.png: the image cannot be read"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, breaks: Callable[[Path], None], message: str) -> None:
    make_yolo(tmp_path)
    breaks(tmp_path)
    with pytest.raises(UserError) as caught:
        yolo(tmp_path, "val")
    assert message in str(caught.value)


def test_one_other_description_will_do(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    (tmp_path / "data.yaml").rename(tmp_path / "cells.yaml")
    assert len(yolo(tmp_path, "train")) == 2
    (tmp_path / "more.yaml").touch()
    with pytest.raises(UserError, match=r"there are cells\.yaml, more\.yaml"):
        yolo(tmp_path, "train")


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("0 1.01 0.5 0.1 0.1", True),
        ("0 -0.01 -0.01 1.01 1.01", True),
        ("0 1.02 0.5 0.1 0.1", False),
        ("0 0.5 -0.02 0.1 0.1", False),
        ("0 0.5 0.5 0.1 1.05", False),
    ],
)
def test_a_box_may_be_one_percent_outside(tmp_path: Path, line: str, accepted: bool) -> None:
    make_yolo(tmp_path)
    (tmp_path / "labels" / "train" / "a.txt").write_text(line + "\n")
    if accepted:
        assert len(yolo(tmp_path, "train").items[0].truth.boxes) == 1
        return
    with pytest.raises(UserError, match="between 0 and 1"):
        yolo(tmp_path, "train")


def test_polygons_become_boxes_around_them(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    (tmp_path / "labels/train/b.txt").write_text("1 0.25 0.25 0.5 0.25 0.25 0.75\n0 0.5 0.5 0.25 0.5\n")
    truth = yolo(tmp_path, "train").items[1].truth
    # Images are 128 x 64: a triangle of 32 x 32 pixels, then a box.
    assert truth.boxes.tolist() == [[32, 16, 64, 48], [48, 16, 80, 48]]
    assert truth.area.tolist() == [32 * 32 / 2, 32 * 32]
    assert truth.labels.tolist() == [1, 0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    make_yolo(tmp_path)
    for path in (tmp_path / "data.yaml", *(tmp_path / "labels").rglob("*.txt")):
        path.write_text(path.read_text(), encoding=encoding)
    files = yolo(tmp_path, "train")
    assert files.classes.names == ("cell", "dust")
    assert files.items[0].truth.boxes.tolist() == [[48, 16, 80, 48], [12, 12, 20, 20]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "latin-1"])
def test_text_of_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    make_yolo(tmp_path)
    path = tmp_path / "labels/train/a.txt"
    path.write_bytes("0 0.5 0.5 1 1 \xe9".encode(encoding))
    with pytest.raises(UserError, match=r"a\.txt: not .*UTF-8"):
        yolo(tmp_path, "train")


def test_names_of_quoted_numbers(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: {'1': dust, '0': cell}\n")
    assert yolo(tmp_path, "train").classes.names == ("cell", "dust")


def test_images_elsewhere_are_read_and_said(tmp_path: Path) -> None:
    make_yolo(tmp_path / "set")
    (tmp_path / "set/images/train/a.png").rename(tmp_path / "a.png")
    (tmp_path / "set/list.txt").write_text(f"{tmp_path}/a.png\nimages/train/b.png\n")
    (tmp_path / "set/data.yaml").write_text("train: list.txt\nnames: [cell, dust]\n")
    (note,) = yolo(tmp_path / "set", "train").notes
    assert f"1 of 2 that {tmp_path}/set/data.yaml leads to lie outside {tmp_path}/set" in note
    assert note.endswith(f"the first: {tmp_path}/a.png.")
    (tmp_path / "set/list.txt").write_text("images/train/../train/b.png\n")
    assert yolo(tmp_path / "set", "train").notes == ()
