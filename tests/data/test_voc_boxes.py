"""Pascal VOC's boxes are found and read; whatever is wrong is named with its file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dataset_trees import make_voc_boxes, picture, voc_xml, write

from densekd.data import DATASETS
from densekd.data.detection import DetectionFiles
from densekd.data.holdout import Holdout
from densekd.data.layouts import recognize_layouts
from densekd.data.voc_boxes import voc_boxes
from densekd.errors import RecipeError, UserError
from densekd.run.evaluation_data import datasets_of
from densekd.tasks import Detection


@pytest.mark.parametrize("home", [".", "VOCdevkit/VOC2007", "VOCdevkit/VOC2012", "VOC2007", "VOC2012"])
def test_a_layout_is_found(tmp_path: Path, home: str) -> None:
    make_voc_boxes(tmp_path / home)
    files = DATASETS["voc-boxes"](tmp_path, "trainval")
    assert isinstance(files, DetectionFiles)
    assert [(item.stem, item.number, item.size) for item in files.items] == [
        ("000005", 1, (64, 128)),
        ("000012", 2, (64, 128)),
    ]
    assert [item.stem for item in voc_boxes(tmp_path, "test").items] == ["000001"]


LOOSE = {
    "Roboflow": ("train/{}.xml", "train/{}.jpg", "valid/{}.xml", "valid/{}.jpg"),
    "folders of splits": (
        "annotations/train/{}.xml",
        "images/train/{}.jpg",
        "annotations/val/{}.xml",
        "images/val/{}.jpg",
    ),
    "splits first": ("train/annotations/{}.xml", "train/images/{}.jpg", "val/annotations/{}.xml", "val/images/{}.jpg"),
}


def make_loose(root: Path, annotation: str, image: str, names: str) -> None:
    for k, name in enumerate(names):
        path = root / annotation.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(voc_xml([("cell", (1, 1, 20, 10 + k), 0)]))
        write(picture(k), root / image.format(name))


@pytest.mark.parametrize("layout", LOOSE)
def test_files_beside_their_images_are_divided_by_folders(layout: str, tmp_path: Path) -> None:
    annotation, image, held_annotation, held_image = LOOSE[layout]
    make_loose(tmp_path, annotation, image, "ab")
    # The same names as in training, as exports of videos have them.
    make_loose(tmp_path, held_annotation, held_image, "a")
    # Somebody else's XML, and an image without annotation.
    (tmp_path / "project.xml").write_text("<project/>")
    write(picture(0), tmp_path / image.format("unlabelled"))
    assert recognize_layouts(tmp_path, datasets_of(Detection)) == ["voc-boxes"]
    files = voc_boxes(tmp_path, "train")
    assert [item.image for item in files.items] == [tmp_path / image.format(name) for name in "ab"]
    assert [item.truth.boxes.tolist() for item in files.items] == [[[0, 0, 20, 10]], [[0, 0, 20, 11]]]
    assert files.classes.names == ("cell",)
    assert [item.image for item in voc_boxes(tmp_path, "val").items] == [tmp_path / held_image.format("a")]
    with pytest.raises(RecipeError, match="has splits already"):
        voc_boxes(tmp_path, "train", Holdout())


def test_files_without_splits_are_divided_once(tmp_path: Path) -> None:
    make_loose(tmp_path, "{}.xml", "{}.jpg", "abcdefgh")
    parts = [voc_boxes(tmp_path, split, Holdout(val=0.25)) for split in ("train", "val")]
    assert sorted(item.stem for part in parts for item in part.items) == list("abcdefgh")
    assert (tmp_path / "splits/val.txt").is_file()
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"a\.xml: no image of this name"):
        voc_boxes(tmp_path, "val")


def test_lists_are_not_drawn_again(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="has lists of its splits already"):
        voc_boxes(make_voc_boxes(tmp_path), "test", Holdout())


def test_corners_are_counted_from_one_and_include_the_last_pixel(tmp_path: Path) -> None:
    files = voc_boxes(make_voc_boxes(tmp_path / "VOC2007").parent, "trainval")
    boxes, labels, crowd, area = files.items[1].truth
    assert boxes.tolist() == [[0, 0, 128, 64], [8, 4, 9, 5], [2, 3, 10, 20]]
    assert [files.classes.names[label] for label in labels] == ["dog", "person", "dog"]
    assert crowd.tolist() == [False, False, True]
    assert area.tolist() == [128 * 64, 1, 8 * 17]
    assert files.items[0].truth.boxes.shape == (0, 4)
    assert files.image(1).shape == (64, 128, 3)


def test_both_years_want_a_choice_and_join(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        make_voc_boxes(tmp_path / "VOCdevkit" / year)
    with pytest.raises(UserError, match=r"holds VOC2007 and VOC2012; say which: a split is written 'VOC2007/trainval'"):
        voc_boxes(tmp_path, "trainval")
    parts = [voc_boxes(tmp_path, f"{year}/trainval") for year in ("VOC2007", "VOC2012")]
    assert [str(item.image).count("VOC2012") for item in parts[0].join(parts[1:]).items] == [0, 0, 1, 1]


def test_classes_are_the_twenty_the_files_or_said(tmp_path: Path) -> None:
    home = make_voc_boxes(tmp_path)
    files = voc_boxes(tmp_path, "test")
    assert len(files.classes.names) == 20
    assert files.classes.names[0] == "aeroplane"
    assert len(files.classes.palette) == 20
    assert files.categories == tuple(range(20))
    # A class that only another split has counts as well.
    (home / "Annotations/000012.xml").write_text(voc_xml([("zebra", (1, 1, 5, 5), 0)]))
    assert voc_boxes(tmp_path, "test").classes.names == ("dog", "person", "zebra")
    (tmp_path / "classes.json").write_text(json.dumps({"names": ["person", "dog"]}))
    assert voc_boxes(tmp_path, "test").items[0].truth.labels.tolist() == [1, 0, 1]
    with pytest.raises(UserError, match=r"000012\.xml: 'zebra' is no class; known are person, dog\. Add it to classes"):
        voc_boxes(tmp_path, "trainval")


HUGE = f"<size><width>{'9' * 5000}</width><height>30</height></size>"


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>", "<size><width/></size>", HUGE])
def test_a_size_that_is_not_said_is_the_file_s(tmp_path: Path, size: str) -> None:
    home = make_voc_boxes(tmp_path)
    (home / "Annotations/000001.xml").write_text(f"<annotation>{size}</annotation>")
    write(picture(0, (30, 50)), home / "JPEGImages/000001.jpg")
    assert voc_boxes(tmp_path, "test").items[0].size == (30, 50)


def test_other_suffixes_are_found(tmp_path: Path) -> None:
    home = make_voc_boxes(tmp_path)
    (home / "JPEGImages/000001.jpg").unlink()
    write(picture(0), home / "JPEGImages/000001.png")
    assert voc_boxes(tmp_path, "test").items[0].image == home / "JPEGImages/000001.png"


BOX = "<xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax>"


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (lambda home: (home / "Annotations/000001.xml").write_text("<annotation>"), "000001.xml: not readable as XML"),
        (lambda home: (home / "Annotations/000001.xml").unlink(), "000001.xml: missing, though a list of"),
        (lambda home: (home / "JPEGImages/000001.jpg").unlink(), "000001.jpg: missing, though a list of"),
        (
            lambda home: (home / "ImageSets/Main/test.txt").unlink(),
            "test.txt: no such list of images",
        ),
        (lambda home: (home / "ImageSets/Main/test.txt").write_text("\n"), "test.txt: the list is empty"),
        (lambda home: shutil.rmtree(home / "Annotations"), "Pascal VOC annotations not found; looked for"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, breaks: Callable[[Path], None], message: str) -> None:
    home = make_voc_boxes(tmp_path)
    breaks(home)
    with pytest.raises(UserError) as caught:
        voc_boxes(tmp_path, "test")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        f"<name/><bndbox>{BOX}</bndbox>",
        f"<bndbox>{BOX}</bndbox>",
        "<name>dog</name>",
        f"<name>dog</name><bndbox>{BOX.replace('<xmin>1', '<xmin>one')}</bndbox>",
        f"<name>dog</name><bndbox>{BOX.replace('<xmin>1', '<xmin>nan')}</bndbox>",
        f"<name>dog</name><difficult>maybe</difficult><bndbox>{BOX}</bndbox>",
    ],
)
def test_a_malformed_object_is_named(tmp_path: Path, content: str) -> None:
    home = make_voc_boxes(tmp_path)
    (home / "Annotations/000001.xml").write_text(f"<annotation><object>{content}</object></annotation>")
    with pytest.raises(UserError, match=r"000001\.xml: object 1 \('(dog)?'\) needs a 'name' and a 'bndbox'"):
        voc_boxes(tmp_path, "test")


@pytest.mark.parametrize(("name", "suffix"), [("my image 1", ".png"), ("my image 0", ".JPG"), ("a", ".JPEG")])
def test_names_with_spaces_and_suffixes_in_capitals(tmp_path: Path, name: str, suffix: str) -> None:
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    write(picture(0), tmp_path / "JPEGImages" / f"{name}{suffix}")
    (tmp_path / "Annotations" / f"{name}.xml").write_text(voc_xml([("dog", (1, 1, 20, 10), 0)]))
    (tmp_path / "ImageSets/Main/train.txt").write_text(f"{name}\n")
    (tmp_path / "ImageSets/Main/dog_train.txt").write_text(f"{name}  1\n")
    for split in ("train", "dog_train"):
        (item,) = voc_boxes(tmp_path, split).items
        assert (item.stem, item.image) == (name, tmp_path / "JPEGImages" / f"{name}{suffix}")
        assert item.truth.boxes.tolist() == [[0, 0, 20, 10]]
