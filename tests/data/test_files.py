import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles, find, first_file, pair_by_stem, read_lines
from densekd.data.found import Found, Item, Pairs, SortedPaths, label_texts, without_partner
from densekd.data.picture import limit
from densekd.errors import UserError

CLASSES = Classes(("road", "car", "tree"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def picture(path: Path, content: np.ndarray | None = None, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.fromarray(np.zeros((4, 6), np.uint8) if content is None else content)
    (made if mode is None else made.convert(mode)).save(path)
    return path


def files(root: Path, image: np.ndarray | None, label: np.ndarray, **more: object) -> SegmentationFiles:
    content = np.zeros((*label.shape[:2], 3), np.uint8) if image is None else image
    item = Item("a", picture(root / "a.jpg", content), picture(root / "a.png", label))
    return SegmentationFiles(CLASSES, (item,), **more)  # type: ignore[arg-type]


def folders(root: Path, images: tuple[str, ...], labels: tuple[str, ...]) -> tuple[Path, Path]:
    for name in images:
        picture(root / "images" / name)
    for name in labels:
        picture(root / "labels" / name)
    return root / "images", root / "labels"


def test_pairs_are_made_by_stem_and_sorted(tmp_path: Path) -> None:
    images, labels = folders(
        tmp_path, ("b.jpg", "town/c.PNG", "a.bmp", ".hidden.png"), ("a.png", "b.png", "town/c.png")
    )
    (images / "notes.txt").write_text("no image")
    items = pair_by_stem(images, labels)
    assert [item.stem for item in items] == ["a", "b", "town/c"]
    assert items[2] == Item("town/c", images / "town/c.PNG", labels / "town/c.png")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (("a.png", "b.png", "c.png"), ("a.png",), "2 of 3 files have no label in {labels}, the first: {images}/b.png."),
        (("a.png",), ("a.png", "z.png"), "1 of 2 files have no image in {images}, the first: {labels}/z.png."),
        (("a.png", "a.jpg"), ("a.png",), "{images}/a.jpg and {images}/a.png have the same stem; keep one."),
    ],
)
def test_files_that_do_not_pair(tmp_path: Path, images: tuple[str, ...], labels: tuple[str, ...], message: str) -> None:
    here, there = folders(tmp_path, images, labels)
    with pytest.raises(UserError) as error:
        pair_by_stem(here, there)
    assert str(error.value) == message.format(images=here, labels=there)


def test_a_folder_without_images(tmp_path: Path) -> None:
    images, labels = folders(tmp_path, (), ("a.png",))
    images.mkdir()
    with pytest.raises(UserError, match=rf"^{re.escape(str(images))}: no images \(\.jpg, \.jpeg, \.png"):
        pair_by_stem(images, labels)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder\.$"):
        find(tmp_path / "nowhere", (".png",))


def test_a_pair_is_decoded_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (5, 7)).astype(np.uint8)
    label[4, 6] = 255
    one = files(tmp_path, None, label)
    assert len(one) == 1
    image, decoded = one.pair(0)
    assert image.shape == (5, 7, 3)
    assert image.dtype == np.uint8
    assert np.array_equal(decoded, label)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_any_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = picture(tmp_path / "a.png", np.full((4, 6), 255, np.uint8), mode)
    image = SegmentationFiles(CLASSES, (Item("a", path, path),)).image(0)
    assert image.shape == (4, 6, 3)
    assert (image == 255).all()


@pytest.mark.parametrize("value", [3, 254])
def test_a_value_that_is_no_class_names_file_value_and_position(tmp_path: Path, value: int) -> None:
    label = np.zeros((5, 7), np.uint8)
    label[2, 4] = label[3, 0] = value
    with pytest.raises(UserError) as error:
        files(tmp_path, None, label).label(0)
    assert str(error.value) == (
        f"{tmp_path}/a.png: label value {value} at row 2, column 4; the 3 classes are 0..2 and ignored pixels are 255."
    )


def test_a_label_map_translates_and_is_allowed(tmp_path: Path) -> None:
    label = np.array([[0, 1, 2, 11]], np.uint8)
    assert files(tmp_path, None, label, label_map={11: 255, 0: 2}).label(0).tolist() == [[2, 1, 2, 255]]


def test_sizes_that_differ_name_both_files_and_sizes(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        files(tmp_path, np.zeros((6, 8, 3), np.uint8), np.zeros((6, 9), np.uint8)).pair(0)
    assert str(error.value) == (
        f"{tmp_path}/a.jpg is 8 x 6 pixels, but its label {tmp_path}/a.png is 9 x 6. They must be the same size."
    )


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (np.zeros((4, 4), np.uint16), "I;16"),
        (np.zeros((4, 4, 3), np.uint8), "RGB"),
        (np.zeros((4, 4), bool), "1"),
    ],
    ids=["16 bit", "rgb", "1 bit"],
)
def test_a_label_must_be_one_channel_of_8_bits(tmp_path: Path, content: np.ndarray, mode: str) -> None:
    with pytest.raises(UserError) as error:
        files(tmp_path, np.zeros((4, 4, 3), np.uint8), content).label(0)
    assert str(error.value) == (
        f"{tmp_path}/a.png: a label must be one channel of 8-bit class numbers, but this picture's mode is {mode}."
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("<html>not found</html>")


@pytest.mark.parametrize("damage", [cut, empty, text, Path.unlink])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("image", r"a\.jpg: the image cannot be read \(.+\)\. Replace or remove it\."),
        ("label", r"a\.png: the label cannot be read \(.+\)\. Replace it\."),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[Path], None], kind: str, message: str) -> None:
    noise = np.random.default_rng(0)
    image = noise.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    one = files(tmp_path, image, noise.integers(0, 3, (24, 32)).astype(np.uint8))
    one.pair(0)
    damage(getattr(one.items[0], kind))
    with pytest.raises(UserError, match=message):
        one.pair(0)


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_picture_that_would_fill_the_memory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    one = files(tmp_path, None, np.zeros((4, 6), np.uint8))
    monkeypatch.setitem(limit._limits, "recipe", 2e-5)
    message = rf": the {kind} cannot be read \(it has 6 x 4 pixels.+ write 'data: \{{max_megapixels: 1\}}'"
    with pytest.raises(UserError, match=message):
        getattr(one, kind)(0)


def test_the_first_file_that_exists(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("")
    assert first_file([tmp_path / "a", tmp_path / "none", tmp_path / "b"]) == tmp_path / "b"
    assert first_file([tmp_path / "a"]) is None


def test_a_list_has_no_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a 1\n\n  \n b\n")
    assert read_lines(tmp_path / "list.txt") == ["a 1", " b"]


def test_a_path_is_made_when_it_is_asked_for(tmp_path: Path) -> None:
    images, labels = folders(tmp_path, ("a.PNG", "b.jpg", "c.jpg"), ("a_mask.png", "b_mask.png", "c_mask.png"))
    found = find(images, (".jpg", ".png"))
    assert found.names == {"a": "a.PNG", "b": "b.jpg", "c": "c.jpg"}
    assert found == {"a": images / "a.PNG", "b": images / "b.jpg", "c": images / "c.jpg"}
    pairs = Pairs(found, find(labels, (".png",)).without("_mask"))
    assert pairs[1:] == (Item("b", images / "b.jpg", labels / "b_mask.png"), pairs[-1])
    assert pairs == tuple(pairs)


def test_label_paths_are_made_when_asked_for_in_the_order_of_their_texts(tmp_path: Path) -> None:
    found = Found(tmp_path, {"b": "b.png", "a/c": "a/c.png", "a": "a.png"})
    items = Pairs(found, found)
    assert label_texts(items) == [str(item.label) for item in items]
    assert label_texts(tuple(items)) == label_texts(items)
    paths = SortedPaths(label_texts(items))
    assert list(paths) == sorted((item.label for item in items), key=str)
    assert paths[::2] == (paths[0], paths[2])
    assert paths[1] == tmp_path / "a/c.png"
    # The root of a disk already ends in a separator.
    assert Found(Path("/"), {"a": "a.png"}).texts() == ["/a.png"]


def test_stems_without_a_partner_keep_their_order(tmp_path: Path) -> None:
    files = Found(tmp_path, {stem: f"{stem}.png" for stem in "dacb"})
    assert without_partner(files, {"a": tmp_path, "c": tmp_path}) == ["d", "b"]
    assert without_partner(files, files) == []
    assert without_partner({"a": tmp_path, "x": tmp_path}, files) == ["x"]


@pytest.mark.parametrize("first", ["a.png", "a\n.png", "a.png\nc.png", "a.PNG"])
def test_files_are_found_by_stem_whatever_their_names_hold(tmp_path: Path, first: str) -> None:
    names = [first, "b.png"]
    for name in [*names, "notes.txt"]:
        (tmp_path / name).touch()
    expected = {name[:-4]: name for name in sorted(names)}
    assert dict(find(tmp_path, (".png",)).names) == expected
    # The same where every file is one of them.
    (tmp_path / "notes.txt").unlink()
    assert list(find(tmp_path, (".png",)).names.items()) == list(expected.items())
