"""Bands of a recipe: measured where it does not say their mean, and brought to student and teacher."""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from densekd.builders.data import build_files
from densekd.data.bands import measure_bands
from densekd.data.contract import Files
from densekd.data.picture import LUMA, RGB
from densekd.errors import RecipeError
from densekd.models import contract
from densekd.models.bands import BandInput, Chosen, choose_bands, take_bands
from densekd.recipe import DataSpec, ModelSpec, Recipe


def with_statistics(recipe: Recipe, files: Files | None = None) -> Recipe:
    """Return the recipe with mean and deviation of its bands, measured.

    Args:
        recipe: of a training, that lacks them.
        files: of its training split; None: they are found where they are needed.

    Raises:
        UserError: data that is not there, or damaged.
    """
    if files is None:
        files = build_files(recipe.data, recipe.data.train)
    found = measure_bands(files)
    data = recipe.data.model_copy(update={"mean": found.mean, "std": found.std})
    return recipe.model_copy(update={"data": data})


def band_input(data: DataSpec, spec: ModelSpec, where: str) -> BandInput | None:
    """Return what a model reads of the data's bands; None for RGB.

    Args:
        data: with mean and deviation, where bands are read.
        spec: of the model.
        where: ``student`` or ``teacher``, for messages.

    Raises:
        RecipeError: a band that the data does not have.
    """
    if data.bands == RGB and spec.bands is None:
        return None
    assert data.mean is not None
    assert data.std is not None
    chosen = _places(data, spec, where)
    if chosen == "gray":
        return BandInput(data.channels, chosen, _brightness(data.mean), _brightness(data.std))
    mean = tuple(data.mean[place - 1] for place in chosen)
    std = tuple(data.std[place - 1] for place in chosen)
    return BandInput(data.channels, chosen, mean, std)


def fit_teacher(model: nn.Module, data: DataSpec, spec: ModelSpec) -> tuple[str, ...]:
    """Let a teacher read the bands that it was trained on; it is changed in place.

    One that chooses as many bands as it was trained on keeps its normalization. A network of three
    channels is widened where the recipe chooses another number of bands.

    Args:
        model: with its weights.
        data: of the recipe.
        spec: of the teacher.

    Returns:
        what people should know.

    Raises:
        RecipeError: a teacher of another number of bands than the data, or than it chooses.
    """
    takes = contract.bands(model)
    if spec.bands is None:
        if takes == data.channels or contract.convention(model) is None:
            return ()
        found = f"teacher.bands: the teacher takes {takes} channels, and the images have {data.channels} bands."
        if takes > data.channels > 1:
            raise RecipeError(f"{found} Read more bands by data.bands, or take another teacher.")
        example = [1] * takes if data.channels == 1 else list(range(1, takes + 1))
        raise RecipeError(f"{found} Say which it sees, for instance 'bands: {example}'.")
    bands = band_input(data, spec, "teacher")
    assert bands is not None
    if choose_bands(model, bands.images, bands.chosen, "teacher"):
        return ()
    if takes != RGB:
        raise RecipeError(f"teacher.bands: the teacher takes {takes} bands, and {len(bands.mean)} are chosen.")
    return take_bands(model, bands, "teacher")


def _places(data: DataSpec, spec: ModelSpec, where: str) -> Chosen:
    """Return the places of a model's bands among those of the images, from 1."""
    if spec.bands is None:
        return tuple(range(1, data.channels + 1))
    if spec.bands == "gray":
        if data.channels < RGB:
            raise RecipeError(f"{where}.bands: gray is made of three bands, and the images have {data.channels}.")
        return spec.bands
    # A band has one number everywhere: its number in the files.
    numbers: Sequence[int] = range(1, data.channels + 1) if isinstance(data.bands, int) else data.bands
    missing = [number for number in spec.bands if number not in numbers]
    if missing:
        known = ", ".join(map(str, numbers))
        raise RecipeError(f"{where}.bands: band {missing[0]} is not read from the data, whose bands are {known}.")
    return tuple(numbers.index(number) + 1 for number in spec.bands)


def _brightness(values: tuple[float, ...]) -> tuple[Any, ...]:
    """Return the mean of the brightness, or the deviation that it has where the colors go together."""
    pairs = zip(LUMA, values[: len(LUMA)], strict=True)
    return (round(sum(factor * value for factor, value in pairs), 6),)


def band_option(builder: Any, bands: BandInput) -> Any:
    """Return a builder's option ``bands``: its own, a number, or what is done for models that have none."""
    own = "bands" in inspect.signature(builder).parameters
    return len(bands.mean) if own else bands.to_option()
