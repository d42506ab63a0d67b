"""Rectangles of TIFF files against the whole picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from densekd.data.picture import decode_picture
from densekd.data.picture.blocks import PictureBlocks

HEIGHT, WIDTH = 103, 217
RGB = np.asarray(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT))
)
RECTANGLES = ((0, 20, 0, 100), (13, 80, 100, 217), (13, 103, 0, 217), (99, 103, 200, 217), (0, 5, 3, 4))


def require_equal(path: Path) -> PictureBlocks:
    whole = decode_picture(path.read_bytes())
    blocks = PictureBlocks(path)
    assert blocks.size == whole.shape[:2]
    for top, bottom, left, right in RECTANGLES:
        found = blocks.read(slice(top, bottom), slice(left, right))
        assert np.array_equal(found, whole[top:bottom, left:right])
    return blocks


@pytest.mark.parametrize("place", [{"rowsperstrip": 16}, {"tile": (32, 48)}])
@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("colors", ["rgb", "gray", "rgba", "deep"])
def test_rectangles_are_those_of_the_whole(
    tmp_path: Path, colors: str, compression: str, place: dict[str, Any]
) -> None:
    pixels = {
        "rgb": RGB,
        "gray": RGB[..., 0],
        "rgba": np.dstack([RGB, RGB[..., :1]]),
        "deep": RGB[..., 0].astype(np.uint16) * 251,
    }[colors]
    if compression == "jpeg" and colors in ("rgba", "deep"):
        pytest.skip("JPEG holds neither")
    options: dict[str, Any] = {"photometric": "rgb" if colors.startswith("rgb") else "minisblack", **place}
    if colors == "rgba":
        options["extrasamples"] = ["unassalpha"]
    if compression in ("lzw", "deflate"):
        options["predictor"] = True
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, compression=compression, **options)
    require_equal(path)


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"bigtiff": True}, {"photometric": "miniswhite"}])
def test_other_headers(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB[..., 0].astype(np.uint16) * 251, rowsperstrip=8, **options)
    require_equal(path)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
def test_files_of_pillow(tmp_path: Path, mode: str, compression: str) -> None:
    path = tmp_path / "a.tif"
    # Pillow compresses strips of 64 kB, and writes one where it does not compress.
    large = Image.fromarray(RGB).resize((700, 300)).convert(mode)
    large.save(path, compression=compression)
    blocks = require_equal(path)
    assert (len(blocks._layout.offsets) > 1) == (compression != "raw")


def test_one_strip_without_compression_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("densekd.data.picture.blocks._PART", 10000)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", rowsperstrip=HEIGHT)
    # 10,000 bytes are 15 rows of 217 pixels.
    assert require_equal(path)._layout.block == (15, WIDTH)


def test_blocks_above_are_freed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", compression="deflate", rowsperstrip=10)
    blocks = PictureBlocks(path)
    blocks.read(slice(0, 60), slice(0, 10))
    assert len(blocks._decoded) == 6
    blocks.read(slice(45, 70), slice(0, 10))
    assert sorted(blocks._decoded) == [4, 5, 6]


def test_what_is_read_as_a_whole_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match="planes"):
        PictureBlocks(path)
    Image.fromarray(RGB).convert("1").save(path, compression="group4")
    with pytest.raises(ValueError, match="compression, number 4,"):
        PictureBlocks(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(path, exif=exif)
    with pytest.raises(ValueError, match="orientation"):
        PictureBlocks(path)
    monkeypatch.setattr("densekd.data.picture.blocks._LARGEST_BLOCK", 1000)
    tifffile.imwrite(path, RGB, photometric="rgb", compression="deflate", rowsperstrip=HEIGHT)
    with pytest.raises(ValueError, match="one block of 217 x 103 pixels"):
        PictureBlocks(path)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="no TIFF"):
        PictureBlocks(tmp_path / "a.png")
