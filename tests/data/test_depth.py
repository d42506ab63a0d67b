"""Depth maps are read as they are meant; what is wrong with a file is said with its name."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_depth import make_depth, make_depth_scene

from densekd.data.depth import demo_depth, depth
from densekd.errors import UserError


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_depths_are_in_the_unit(tmp_path: Path, suffix: str) -> None:
    files = depth(make_depth(tmp_path, {"train": 2, "val": 1}, suffix), "val")
    assert (len(files), files.unit, files.labels) == (1, "m", "present")
    image, depths = files.pair(0)
    expected_image, expected = make_depth_scene(1000)
    assert np.array_equal(image, expected_image)
    assert depths.dtype == np.float32
    assert np.abs(depths - expected).max() <= 0.00501
    assert not depths[:2, :2].any()


def test_what_is_no_number_was_not_measured(tmp_path: Path) -> None:
    root = make_depth(tmp_path, {"val": 1}, ".npy")
    values = np.full((32, 48), 500.0)
    values[0, :4] = (np.nan, np.inf, -3, 0)
    np.save(root / "depth/val/000.npy", values)
    depths = depth(root, "val").depth(0)
    assert depths[0, :5].tolist() == [0, 0, 0, 0, 5]
    np.save(root / "depth/val/000.npy", np.full((32, 48), 500, np.int64))
    assert depth(root, "val").depth(0).max() == 5


def test_splits_are_joined(tmp_path: Path) -> None:
    root = make_depth(tmp_path, {"a": 1, "b": 2})
    assert len(depth(root, "a").join([depth(root, "b")])) == 3
    (root / "depth.json").write_text('{"scale": 1}')
    other = depth(root, "b")
    (root / "depth.json").write_text('{"scale": 2}')
    with pytest.raises(UserError, match="write their depths differently"):
        depth(root, "a").join([other])


def test_images_alone_have_no_labels(tmp_path: Path) -> None:
    root = make_depth(tmp_path, {"val": 2})
    (root / "depth").rename(root / "elsewhere")
    files = depth(root, "val")
    assert files.labels == "absent"
    image, depths = files.pair(1)
    assert depths.shape == image.shape[:2]
    assert not depths.any()


def no_index(root: Path) -> None:
    (root / "depth.json").unlink()


def wrong_index(root: Path) -> None:
    (root / "depth.json").write_text('{"unit": "m"}')


def no_scale(root: Path) -> None:
    (root / "depth.json").write_text('{"scale": 0}')


def color(root: Path) -> None:
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(root / "depth/val/000.png")


def wrong_size(root: Path) -> None:
    Image.fromarray(np.zeros((32, 47), np.uint16)).save(root / "depth/val/000.png")


def broken(root: Path) -> None:
    (root / "depth/val/000.png").write_bytes(b"no picture")


def objects(root: Path) -> None:
    (root / "depth/val/000.png").unlink()
    np.save(root / "depth/val/000.npy", np.array([{}]), allow_pickle=True)


def volume(root: Path) -> None:
    (root / "depth/val/000.png").unlink()
    np.save(root / "depth/val/000.npy", np.zeros((2, 32, 48)))


def alone(root: Path) -> None:
    (root / "depth/val/000.png").unlink()


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (no_index, r"depth\.json: missing\. Write \{\"scale\": 0\.001, \"unit\": \"m\"\} there"),
        (wrong_index, r"depth\.json: expected .*KeyError\('scale'\)"),
        (no_scale, r"depth\.json: expected .*scale is 0"),
        (color, r"000\.png: the depth map cannot be read \(its mode is RGB, not one channel of 16 bits\)"),
        (wrong_size, r"000\.png is 48 x 32 pixels, but its depth map .* is 47 x 32"),
        (broken, r"000\.png: the depth map cannot be read \(it is text: 'no picture'"),
        (objects, r"000\.npy: the depth map cannot be read \(Object arrays"),
        (volume, r"000\.npy: the depth map cannot be read \(it holds float64 \[2, 32, 48\]"),
        (alone, "1 of 2 files have no label in"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, breaks: Callable[[Path], None], message: str) -> None:
    root = make_depth(tmp_path, {"val": 2})
    breaks(root)
    with pytest.raises(UserError, match=message):
        depth(root, "val").pair(0)


def test_folders_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such data folder"):
        depth(tmp_path / "nowhere", "val")
    make_depth(tmp_path / "set", {"val": 1})
    with pytest.raises(UserError, match="no split 'test'; there is val"):
        depth(tmp_path / "set", "test")


def test_synthetic_scenes_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["densekd.data.depth"]  # the package calls its function by the same name
    monkeypatch.setattr(module, "DEMO_IMAGES", {"train": 2, "val": 1})
    root = tmp_path / "scenes"
    assert len(demo_depth(root, "train")) == 2
    image, depths = demo_depth(root, "val").pair(0)
    assert image.shape[:2] == depths.shape == module.DEMO_SIZE
    measured = depths[depths > 0]
    assert measured.min() >= 0.5
    assert measured.max() <= 400
    assert (depths == 0).any()  # the sky
    # The lower, the nearer: the street begins at the viewer's feet.
    assert np.median(depths[-1]) < np.median(measured)
    (root / "images/val/demo_00000.png").unlink()
    demo_depth(root, "train")
    assert not (root / "images/val/demo_00000.png").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else"):
        demo_depth(tmp_path / "mine", "train")
    assert json.loads((root / "depth.json").read_text()) == {"scale": 0.01, "unit": "m"}
