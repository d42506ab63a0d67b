"""Depth predictions as files: 16-bit PNGs with their ranges, overlays in color, and the sample pictures of a report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import nn

from densekd.atomic import write_text
from densekd.data.depth import DepthFiles, write_depth
from densekd.data.files import read_image
from densekd.data.maps import Resize, to_model_input
from densekd.data.picture import RGB, Bands, shown_bands
from densekd.errors import UserError
from densekd.tasks.common import (
    device_of,
    images_at,
    one_at_a_time,
    predict_each,
    require_all,
    sample_path,
    save_picture,
)
from densekd.tasks.depth.evaluation import DepthEvaluation, Quantity, predict_maps, to_depth
from densekd.tasks.depth.pictures import depth_picture, error_picture, overlay, value_range
from densekd.tasks.records import Records

_STEPS = 65535


@dataclass(frozen=True)
class DepthColors:
    """How predicted maps become depths in color.

    Args:
        quantity: that the models predict.
        options: how predictions are aligned to the truth.
    """

    quantity: Quantity
    options: DepthEvaluation

    def aligned(self, values: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return depths, float32 ``[H, W]``, aligned to the truth as scores are."""
        prediction, target = torch.from_numpy(values)[None], torch.from_numpy(truth)[None]
        depth: np.ndarray = to_depth(prediction, target, self.quantity, self.options)[0].numpy()
        return depth


@dataclass(frozen=True)
class DepthPredictor:
    """A model and all that it takes to estimate the depths of a picture.

    Args:
        model: changed to evaluation mode when it is used.
        quantity: that it predicts.
        resize: what images are brought to before the model, or None.
        options: how sample pictures are aligned to the truth.
        bands: that are read of pictures; 3: RGB.
    """

    model: nn.Module
    quantity: Quantity
    resize: Resize | None = None
    options: DepthEvaluation = field(default_factory=DepthEvaluation)
    bands: Bands = RGB

    writes: ClassVar[tuple[str, ...]] = ("depth", "overlays", "ranges.json")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Predict a decoded image ``[H, W, N]``: float32 ``[H, W]`` at its own size, in the model's quantity."""
        pixels = to_model_input(image, self.resize)[None].to(device_of(self.model))
        height, width = image.shape[:2]
        with one_at_a_time():
            predicted = predict_maps(self.model.eval(), pixels, (height, width))
        array: np.ndarray = predicted[0].float().cpu().numpy()
        return array

    def drawn(self, image: np.ndarray) -> Image.Image:
        """Predict a decoded image and draw the depths over it, near bright and far dark."""
        return overlay(shown_bands(image), as_nearness(self(image).astype(np.float64), self.quantity))

    def predict_folder(self, images: Path, out: Path, resume: bool = False, workers: int = 0) -> int:
        """Predict one image or all images below a folder.

        ``depth/<stem>.png`` holds the model's numbers in 16 bits, stretched from the least to the
        greatest of an image; ``ranges.json`` says which these are, so that ``low + png / 65535 *
        (high - low)`` gives the numbers back. ``overlays/<stem>.png`` shows them in color over the
        picture, near bright and far dark.

        Returns:
            How many images were predicted.

        Raises:
            UserError: no image there; or damaged ones, after all others were predicted.
        """
        found = images_at(images)
        records = Records(out, resume)

        def write(stem: str, path: Path) -> list[float]:
            image = read_image(path, bands=self.bands)
            # Sixteen bits for the range of each picture, whatever it is.
            values = self(image).astype(np.float64)
            low, high = float(values.min()), float(values.max())
            # A map that does not vary has no range to be stretched over.
            span = high - low if high > low else 1.0
            write_depth(((values - low) / span * _STEPS).round(), out / "depth" / f"{stem}.png")
            nearness = as_nearness(values, self.quantity)
            save_picture(overlay(shown_bands(image), nearness), out / "overlays" / f"{stem}.png", fast=True)
            return [low, high]

        odd = predict_each(found, write, records, workers)
        ranges = {name: records.found[name] for name in found if name in records.found}
        content = {"quantity": self.quantity, "ranges": ranges}
        write_text(out / "ranges.json", json.dumps(content, indent=1) + "\n")
        require_all(odd, len(found), out)
        return len(found)

    def write_submission(self, images: Path, out: Path, benchmark: str) -> int:
        """Refuse: no server of a segmentation benchmark takes depths.

        Raises:
            UserError: always.
        """
        what = "the model estimates depth: see its depth/*.png"
        raise UserError(f"{benchmark} wants labelled pixels, and {what}.")


def as_nearness(values: np.ndarray, quantity: Quantity) -> np.ndarray:
    """Return predicted values so that larger is nearer."""
    if quantity == "inverse":
        return values
    return -values


def depth_samples(
    predictors: Mapping[str, DepthPredictor], files: DepthFiles, out: Path, indices: Sequence[int]
) -> None:
    """Write pictures of some images of a split.

    Predictions are colored like the truth that they are aligned to.

    ``<stem>.image.png``, ``.truth.png``, and for each model ``.<name>.png`` and
    ``.<name>-errors.png``. Without labels there is no truth, and each prediction has a range of its
    own.
    """
    # All of them are of one task.
    colored = DepthColors("inverse", DepthEvaluation())
    for predict in predictors.values():
        colored = DepthColors(predict.quantity, predict.options)
    for index in indices:
        image, _ = files.pair(index)
        found = {name: predict(image) for name, predict in predictors.items()}
        write_depth_sample(files, index, found, colored, out)


def write_depth_sample(
    files: DepthFiles, index: int, found: Mapping[str, np.ndarray], colored: DepthColors, out: Path
) -> None:
    """Write the pictures of one image, see :func:`depth_samples`.

    Args:
        files: the images.
        index: of the image.
        found: what each model predicted, float32 ``[H, W]`` in its own quantity.
        colored: how predictions become depths.
        out: the folder to write to.
    """
    stem = files.items[index].stem
    image, truth = files.pair(index)
    save_picture(Image.fromarray(shown_bands(image)), sample_path(out, stem, "image"))
    measured = truth > 0
    # Without a truth there is nothing to align to, and nothing to be wrong about.
    if not measured.any():
        for name, values in found.items():
            nearness = as_nearness(values, colored.quantity)
            save_picture(overlay(shown_bands(image), nearness), sample_path(out, stem, name))
        return
    # One range of colors for truth and predictions: what is equal looks equal.
    ends = value_range(1 / truth[measured])
    save_picture(depth_picture(truth, ends), sample_path(out, stem, "truth"))
    for name, values in found.items():
        depth = colored.aligned(values, truth)
        save_picture(depth_picture(depth, ends), sample_path(out, stem, name))
        save_picture(error_picture(depth, truth), sample_path(out, stem, f"{name}-errors"))
