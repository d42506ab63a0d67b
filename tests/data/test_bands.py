"""Bands of data sets: which are read, and what is measured of them."""

from pathlib import Path

import numpy as np
import pytest
from tiny_bands import band_image, make_bands
from tiny_data import make_depth, make_folder

from densekd.data.bands import bands_of, measure_bands, with_bands
from densekd.data.contract import Files
from densekd.data.depth import depth
from densekd.data.folder import folder
from densekd.errors import RecipeError


def test_mean_and_deviation_of_each_band(tmp_path: Path) -> None:
    files = with_bands(folder(make_bands(tmp_path, {"train": 5, "val": 1}, 4, 65535), "train"), 4)
    found = measure_bands(files)
    values = np.concatenate([band_image(k, 4, 65535)[0].reshape(-1, 4) for k in range(5)]) / 65535
    assert found.mean == pytest.approx(values.mean(0), abs=1e-5)
    assert found.std == pytest.approx(values.std(0), abs=1e-5)
    # A recipe's text holds the same numbers.
    assert all(round(value, 6) == value for value in (*found.mean, *found.std))


def test_gray_of_colors_is_measured_as_it_is_read(tmp_path: Path) -> None:
    files = with_bands(folder(make_folder(tmp_path, {"train": 4, "val": 1}), "train"), 1)
    values = np.concatenate([files.image(k).ravel() for k in range(4)]) / 255
    assert measure_bands(files).mean == pytest.approx((values.mean(),), abs=1e-5)


def test_files_keep_their_bands_in_parts_and_pairs(tmp_path: Path) -> None:
    files = with_bands(folder(make_bands(tmp_path, {"train": 3, "val": 1}, 4), "train"), (4, 1))
    assert bands_of(files.join([files])) == (4, 1)
    image, label = files.pair(1)
    np.testing.assert_array_equal(image, band_image(1, 4, 255)[0][..., [3, 0]])
    assert label.shape == (32, 48)
    maps = with_bands(depth(make_depth(tmp_path / "depth", {"train": 2}), "train"), 1)
    assert maps.pair(0)[0].shape == (32, 48, 1)


def test_data_that_reads_rgb_alone_says_so() -> None:
    class Other:
        holds = "poses"

    other: Files = Other()  # type: ignore[assignment]
    assert with_bands(other, 3) is other
    with pytest.raises(RecipeError, match=r"data\.bands: images with poses are read as RGB alone"):
        with_bands(other, 4)
