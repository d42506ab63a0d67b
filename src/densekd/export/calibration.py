"""Training pictures on which int8 measures the ranges of its activations."""

from pathlib import Path

import numpy as np

from densekd.data.contract import Files
from densekd.errors import UserError
from densekd.export.graph import Calibration
from densekd.export.options import KEEP_FLOAT, ExportOptions
from densekd.export.subject import Subject
from densekd.models.open import Opened
from densekd.recipe import load_recipe
from densekd.run.evaluate import recipe_of, scored_on
from densekd.run.evaluation_data import Asked, asked_recipe
from densekd.terminal import track

# Split of a data folder without a recipe.
_TRAIN = "train"


def write_calibration(subject: Subject, options: ExportOptions, folder: Path) -> Calibration:
    """Write the pictures that ranges are measured on, all of the input's size.

    Args:
        subject: what is exported.
        options: how many, and of which data.
        folder: a temporary one.

    Raises:
        UserError: there are none.
    """
    files = _training_files(subject.opened, subject.name, options)
    # Spread over the whole split: neighbors are often alike.
    count = min(options.calibrate, len(files))
    places = np.linspace(0, len(files) - 1, count).round().astype(int).tolist()
    shape = (count, *subject.input.size, subject.input.bands)
    path = folder / "calibration.npy"
    pictures = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    for number, place in enumerate(track(places, "reading training pictures")):
        pictures[number] = subject.fitted(files.image(place)).permute(1, 2, 0).numpy()
    pictures.flush()
    return Calibration(path, count, options.keep_float or KEEP_FLOAT, options.allow)


def _training_files(opened: Opened, name: Path, options: ExportOptions) -> Files:
    """Find the training split of a recipe or a data folder.

    Raises:
        UserError: there is none.
    """
    try:
        recipe = asked_recipe(options.data)
        own = recipe_of(name)
        if recipe is None and options.data is None and own is not None:
            recipe = load_recipe(own)
        split = _TRAIN if recipe is None else recipe.data.train
        files = scored_on(opened, name, Asked(options.data, None, split))[1]
    except UserError as error:
        raise UserError(
            "int8 needs training pictures, on which it measures the ranges of activations; say where they are: "
            f"--data RECIPE. ({error})"
        ) from error
    if not len(files):
        raise UserError("int8 needs training pictures, on which it measures ranges, and the split has none.")
    return files
