"""Fabricated data sets of any depth, mode, orientation, label coding, names and layout: what is read is what is shown.

The truth is known from the fabrication, by tiles of one color and one class each, and not from a reader.
"""

import io
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from picture_files import SHOWN, png, tiff, with_orientation
from PIL import Image

from densekd.data.folder import folder
from densekd.errors import UserError

EXAMPLES = int(os.environ.get("DENSEKD_EXAMPLES", "500"))
TILE = 8
VOID = 255
# The orientation that undoes one.
UNDO = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
# What a picture can hold: colors, grays, or black and white; and how far a decoder may be off.
PICTURES = {
    "png-rgb": ("color", 0, (".png", ".PNG")),
    "png-rgba": ("color", 0, (".png",)),
    "png-palette": ("color", 0, (".png",)),
    "png-gray": ("gray", 0, (".png",)),
    "png-gray-alpha": ("gray", 0, (".png",)),
    "png-gray-16": ("gray", 0, (".png", ".Png")),
    "png-rgb-16": ("color", 0, (".png",)),
    "png-rgba-16": ("color", 0, (".png",)),
    "png-1": ("black", 0, (".png",)),
    "tiff-rgb": ("color", 0, (".tif", ".tiff", ".TIF")),
    "tiff-rgb-16": ("color", 0, (".tif", ".tiff")),
    "tiff-gray-16": ("gray", 0, (".tif",)),
    "tiff-float": ("gray", 1, (".tif",)),
    "jpeg": ("color", 5, (".jpg", ".JPG", ".jpeg")),
    "jpeg-gray": ("gray", 2, (".jpg",)),
    "jpeg-cmyk": ("color", 5, (".jpg",)),
    "bmp": ("color", 0, (".bmp",)),
    "webp": ("color", 0, (".webp",)),
}
TURNABLE = ("png-rgb", "tiff-rgb", "jpeg", "webp")
LABELS = ("numbers", "numbers-16", "three-equal", "from-one", "palette", "colors", "colors-alpha", "binary", "tif")
LAYOUTS = ("kinds-first", "splits-first", "one-folder")
NAMES = st.text("abcXYZ019 _-.[]()äé路#%&'+,;=@", min_size=1, max_size=12)


@dataclass(frozen=True)
class Sample:
    """One image as a viewer shows it, its classes, and how both are stored."""

    shown: np.ndarray
    label: np.ndarray
    picture: str
    suffix: str
    orientation: int
    label_on_stored: bool


@st.composite
def samples(draw: st.DrawFn, classes: int, coding: str) -> Sample:
    rows, columns = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    picture = draw(st.sampled_from(sorted(PICTURES)))
    content, _, suffixes = PICTURES[picture]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    colors = rng.integers(0, 256, (rows, columns, 3))
    if content != "color":
        colors = np.repeat(colors[..., :1], 3, 2)
    if content == "black":
        colors = colors // 128 * 255
    # Every class occurs, so that the coding can be told; void does where the coding has a value for it.
    tiles = rng.integers(0, classes, rows * columns)
    tiles[:classes] = np.arange(classes)
    if coding != "binary" and rows * columns > classes:
        tiles[classes] = VOID
    tiles = rng.permutation(tiles).reshape(rows, columns)
    shown, label = (np.kron(one, np.ones((TILE, TILE, 1)[: one.ndim], int)).astype(np.uint8) for one in (colors, tiles))
    orientation = draw(st.integers(1, 8)) if picture in TURNABLE else 1
    # Only where the sizes tell can a label have been made on the stored pixels.
    tells = orientation >= 5 and rows != columns
    return Sample(shown, label, picture, draw(st.sampled_from(suffixes)), orientation, tells and draw(st.booleans()))


@st.composite
def data_sets(draw: st.DrawFn) -> dict[str, Any]:
    coding = draw(st.sampled_from(LABELS))
    classes = 2 if coding == "binary" else draw(st.integers(1, 4))
    names = draw(st.lists(NAMES.filter(str.strip), min_size=classes, max_size=classes, unique_by=str.strip))
    stems = draw(st.lists(NAMES.filter(_is_file_name), min_size=2, max_size=4, unique_by=str.casefold))
    palette = draw(
        st.lists(st.tuples(*[st.integers(0, 255)] * 3).filter(_is_colorful), min_size=5, max_size=5, unique=True)
    )
    return {
        "coding": coding,
        "names": names,
        "palette": palette,
        "layout": draw(st.sampled_from(LAYOUTS)),
        "samples": {stem: draw(samples(classes, coding)) for stem in stems},
    }


def _is_file_name(name: str) -> bool:
    # Names with a dot in front are hidden; the end of a name is what a label's name may add to it.
    return name == name.strip() and not name.startswith(".") and not name.endswith((".", "_", "-"))


def _is_colorful(color: tuple[int, ...]) -> bool:
    return len(set(color)) > 1


def stored(sample: Sample) -> np.ndarray:
    return np.ascontiguousarray(SHOWN[UNDO[sample.orientation]](sample.shown))


def picture_file(sample: Sample) -> bytes:
    """Write the image as its kind stores it."""
    pixels = stored(sample)
    gray = pixels[..., 0]
    deep = pixels.astype(np.uint16) * 257
    picture = Image.fromarray(pixels)
    alpha = np.full((*gray.shape, 1), 255, np.uint8)
    made = {
        "png-rgba": lambda: png(np.concatenate([pixels, alpha], 2), 8, 6),
        "png-palette": lambda: encode(picture.quantize(256), "PNG"),
        "png-gray": lambda: png(gray, 8, 0),
        "png-gray-alpha": lambda: png(np.stack([gray, alpha[..., 0]], 2), 8, 4),
        "png-gray-16": lambda: png(deep[..., 0], 16, 0),
        "png-rgb-16": lambda: png(deep, 16, 2),
        "png-rgba-16": lambda: png(np.concatenate([deep, alpha.astype(np.uint16) * 257], 2), 16, 6),
        "png-1": lambda: png(gray // 255, 1, 0),
        "tiff-rgb-16": lambda: tiff(deep, 16, 2),
        "tiff-gray-16": lambda: tiff(deep[..., 0], 16),
        "tiff-float": lambda: tiff(gray.astype(np.float32) / 255, 32, numbers=3),
        "jpeg-gray": lambda: encode(Image.fromarray(gray), "JPEG", quality=100),
        "jpeg-cmyk": lambda: encode(picture.convert("CMYK"), "JPEG", quality=100, subsampling=0),
        "bmp": lambda: encode(picture, "BMP"),
    }
    if sample.picture in made:
        return made[sample.picture]()
    kinds = {"png-rgb": ("PNG", {}), "tiff-rgb": ("TIFF", {}), "webp": ("WEBP", {"lossless": True})}
    kind, options = kinds.get(sample.picture, ("JPEG", {"quality": 100, "subsampling": 0}))
    return with_orientation(picture, kind, sample.orientation, **options)


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def label_file(sample: Sample, coding: str, palette: list[tuple[int, ...]]) -> bytes:
    """Write the classes in a coding; the last color of the palette is that of void."""
    label = sample.label
    if sample.label_on_stored:
        label = np.ascontiguousarray(SHOWN[UNDO[sample.orientation]](label))
    table = np.array([*palette[:-1], *[(1, 2, 3)] * 251, palette[-1]], np.uint8)
    indexed = Image.fromarray(label, "P")
    indexed.putpalette(table.ravel().tolist())
    alpha = np.full((*label.shape, 1), 255, np.uint8)
    colors = table[label]
    made = {
        "numbers": lambda: Image.fromarray(label),
        "tif": lambda: Image.fromarray(label),
        "numbers-16": lambda: Image.fromarray(label.astype(np.uint16)),
        "three-equal": lambda: Image.fromarray(np.repeat(label[..., None], 3, 2)),
        # Void is 0 then: 255 + 1 as 8 bits count.
        "from-one": lambda: Image.fromarray(label + np.uint8(1)),
        "palette": lambda: indexed,
        "colors": lambda: Image.fromarray(colors),
        "colors-alpha": lambda: Image.fromarray(np.concatenate([colors, alpha], 2)),
        "binary": lambda: Image.fromarray(label * np.uint8(255)),
    }
    return encode(made[coding](), "TIFF" if coding == "tif" else "PNG")


def write(root: Path, data: dict[str, Any]) -> None:
    """Write a data set with the same images in both splits."""
    coding, palette = data["coding"], data["palette"]
    places = {
        "kinds-first": ("images/{split}", "labels/{split}", ""),
        "splits-first": ("{split}/images", "{split}/masks", ""),
        "one-folder": ("{split}", "{split}", "_mask"),
    }
    images, labels, ending = places[data["layout"]]
    for split in ("train", "val"):
        for stem, sample in data["samples"].items():
            files = {
                f"{images}/{stem}{sample.suffix}": picture_file(sample),
                f"{labels}/{stem}{ending}{'.tif' if coding == 'tif' else '.png'}": label_file(sample, coding, palette),
            }
            for name, content in files.items():
                path = root / name.format(split=split) if "{" not in stem else root / name.replace("{split}", split)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    described: dict[str, Any] = {"names": data["names"]}
    if coding in ("colors", "colors-alpha", "palette"):
        described |= {"palette": palette[: len(data["names"])], "void": [palette[-1]]}
    if coding == "from-one":
        described |= {"ignore_index": 0}
    (root / "classes.json").write_text(json.dumps(described), encoding="utf-8")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == 500,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data_sets())
def test_what_is_read_is_what_a_viewer_shows(data: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        write(root, data)
        note(f"{data['coding']} {data['layout']} {[(s, v.picture, v.orientation) for s, v in data['samples'].items()]}")
        files = folder(root, "train")
        assert files.classes.names == tuple(data["names"])
        found = {item.stem: k for k, item in enumerate(files.items)}
        assert set(found) == set(data["samples"])
        for stem, sample in data["samples"].items():
            image, label = files.pair(found[stem])
            turned = stored(sample) if sample.label_on_stored else sample.shown
            classes = sample.label
            if sample.label_on_stored:
                classes = SHOWN[UNDO[sample.orientation]](classes)
            # Pixels of nothing are whatever the data says is void.
            expected = np.where(classes == VOID, files.classes.ignore_index, classes)
            np.testing.assert_array_equal(label, expected)
            off = np.abs(image.astype(int) - turned.astype(int)).max()
            assert off <= PICTURES[sample.picture][1]


@pytest.mark.parametrize("kind", ["JPEG", "text", "cut", "empty"])
def test_what_cannot_be_read_right_stops_with_its_file(tmp_path: Path, kind: str) -> None:
    plain = Sample(np.zeros((16, 16, 3), np.uint8), np.eye(16, dtype=np.uint8), "png-rgb", ".png", 1, False)
    write(tmp_path, {"coding": "numbers", "names": ["a", "b"], "palette": [], "layout": "kinds-first", "samples": {}})
    for split in ("train", "val"):
        for place, content in (
            ("images", picture_file(plain)),
            ("labels", encode(Image.fromarray(plain.label), "PNG")),
        ):
            (tmp_path / place / split).mkdir(parents=True)
            (tmp_path / place / split / "x.png").write_bytes(content)
    path = tmp_path / "labels" / "train" / "x.png"
    whole = path.read_bytes()
    broken = {
        "JPEG": encode(Image.fromarray(plain.label), "JPEG"),
        "text": b"<html>not found</html>",
        "cut": whole[: len(whole) // 2],
        "empty": b"",
    }
    path.write_bytes(broken[kind])
    with pytest.raises(UserError, match=r"labels.train.x\.png"):
        folder(tmp_path, "train").label(0)
