"""Large pictures: which are read in parts, what is said of the others."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from densekd.data import large_images
from densekd.data.large_images import large_image
from densekd.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (61, 90, 3), dtype=np.uint8)


@pytest.fixture
def tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(large_images, "_LARGE", 5000)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", compression="deflate", rowsperstrip=7)
    return path


def test_a_large_tiff_is_read_in_parts(tiff: Path) -> None:
    image = large_image(tiff)
    assert image is not None
    assert image.size == (61, 90)
    assert np.array_equal(image.read(slice(3, 40), slice(50, 90)), PIXELS[3:40, 50:90])


def test_reduced_pixels_are_means(tiff: Path) -> None:
    image = large_image(tiff)
    assert image is not None
    shown, factor = image.reduced(40)
    assert factor == 3
    assert shown.shape == (21, 30, 3)
    means = PIXELS[:60].reshape(20, 3, 30, 3, 3).mean((1, 3))
    # Pillow rounds by fixed-point numbers.
    assert np.abs(shown[:20] - means).max() < 0.6
    assert image.reduced(90)[1] == 1


def test_small_pictures_and_foreign_files_are_left_to_their_reader(tiff: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tiff.with_suffix(".txt")
    foreign.write_text("no picture")
    assert large_image(foreign) is None
    monkeypatch.setattr(large_images, "_LARGE", 6000)
    assert large_image(tiff) is None


def test_what_is_decoded_whole_is_said(tiff: Path, caplog: pytest.LogCaptureFixture) -> None:
    png = tiff.with_suffix(".png")
    Image.fromarray(PIXELS).save(png)
    assert large_image(png) is None
    assert "only TIFF files are read in parts" in caplog.text
    Image.fromarray(PIXELS).convert("1").save(tiff, compression="group4")
    assert large_image(tiff) is None
    assert "its compression, number 4, is read as a whole" in caplog.text


def test_a_damaged_part_is_an_error_of_the_file(tiff: Path) -> None:
    content = tiff.read_bytes()
    image = large_image(tiff)
    assert image is not None
    tiff.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a\.tif: the image cannot be read"):
        image.read(slice(0, 61), slice(0, 90))
