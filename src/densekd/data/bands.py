"""Bands of a data set: which are read, and their mean and standard deviation in the training images."""

from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from densekd.data.contract import Files, subset
from densekd.data.picture import RGB, Bands, band_count
from densekd.errors import RecipeError, UserError

# Images whose bands are measured, evenly chosen.
_SAMPLE = 200
# Pixels of one image that are measured; of larger ones every n-th row and column.
_PIXELS = 1 << 20
_DIGITS = 6

F = TypeVar("F", bound=Files)


class BandStatistics(NamedTuple):
    """Mean and standard deviation of each band, in units of [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def bands_of(files: Files) -> Bands:
    """Return the bands that are read of the images: RGB where the files do not say."""
    bands: Bands = getattr(files, "bands", RGB)
    return bands


def with_bands(files: F, bands: Bands) -> F:
    """Return the files with images of other bands.

    Args:
        files: of one split.
        bands: how many, or their numbers from 1.

    Raises:
        RecipeError: files of a kind that is read as RGB alone.
    """
    if bands == bands_of(files):
        return files
    if not hasattr(files, "bands"):
        raise RecipeError(
            f"data.bands: images with {files.holds} are read as RGB alone; remove data.bands. Other bands are for "
            "segmentation."
        )
    others: Any = files
    changed: F = replace(others, bands=bands)
    return changed


def measure_bands(files: Files) -> BandStatistics:
    """Measure mean and standard deviation of each band over a sample of a split.

    The sample, up to 200 images evenly chosen, depends on the files alone.

    Args:
        files: of the training split.

    Raises:
        UserError: no image, or a damaged one.
    """
    if not len(files):
        raise UserError("data.bands: there is no image to measure the mean of the bands on.")
    count = band_count(bands_of(files))
    total = np.zeros(count)
    squares = np.zeros(count)
    pixels = 0
    sample = subset(files, _SAMPLE)
    for index in range(len(sample)):
        values = _thinned(sample.image(index)).reshape(-1, count)
        total += values.sum(0)
        squares += np.square(values).sum(0)
        pixels += len(values)
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - np.square(mean), 0))
    # A band that is the same everywhere says nothing, and is brought to zero.
    std[std < 10**-_DIGITS] = 1
    return BandStatistics(_rounded(mean), _rounded(std))


def _thinned(image: np.ndarray) -> np.ndarray:
    """Return the values of an image in units of [0, 1], float64; of a large one every n-th row and column."""
    height, width = image.shape[:2]
    step = max(1, round((height * width / _PIXELS) ** 0.5))
    values = image[::step, ::step].astype(np.float64)
    return values / 255 if image.dtype == np.uint8 else values


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    # A recipe holds them as text, and must hold the same numbers.
    return tuple(round(float(value), _DIGITS) for value in values)
