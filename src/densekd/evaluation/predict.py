"""Predictions as files: label PNGs, overlays, and the sample pictures of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import nn

from densekd.atomic import atomic
from densekd.data.classes import Classes
from densekd.data.files import IMAGE_SUFFIXES, SegmentationFiles, find, read_image
from densekd.data.segmentation import Resize, to_model_input
from densekd.errors import UserError
from densekd.evaluation.pictures import colour_picture, error_picture, overlay
from densekd.evaluation.segmentation import device_of
from densekd.inference import WHOLE, Inference
from densekd.tasks import Segmentation


@dataclass(frozen=True)
class Predictor:
    """A model and all that it takes to label a picture.

    Args:
        model: changed to evaluation mode when it is used.
        classes: what its logits mean.
        resize: what images are brought to before the model, see :mod:`densekd.data.segmentation`, or None.
        inference: whole images, windows, scales.
    """

    model: nn.Module
    classes: Classes
    resize: Resize | None = None
    inference: Inference = WHOLE

    writes = ("labels", "overlays")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Predict the class numbers ``[H, W]`` (uint8) of a decoded image ``[H, W, 3]`` at its own size."""
        task = Segmentation(len(self.classes.names), self.classes.ignore_index)
        task.inference = self.inference
        pixels = to_model_input(image, self.resize)[None].to(device_of(self.model))
        with torch.no_grad():
            predicted = task.predict(self.model.eval(), pixels, torch.Size(image.shape[:2]))
        array: np.ndarray = predicted.label[0].to(torch.uint8).cpu().numpy()
        return array


def predict_labels(predict: Predictor, images: Path, out: Path) -> int:
    """Write ``labels/<stem>.png`` and ``overlays/<stem>.png`` for one image or all images below a folder.

    Returns:
        How many images were predicted.

    Raises:
        UserError: no image there, or a damaged one.
    """
    found = images_at(images)
    for stem, path in track(found.items(), "predicting", transient=True):
        image = read_image(path)
        label = predict(image)
        save(colour_picture(label, predict.classes), out / "labels" / f"{stem}.png")
        save(overlay(image, label, predict.classes), out / "overlays" / f"{stem}.png")
    return len(found)


def label_samples(
    predictors: Mapping[str, Predictor], files: SegmentationFiles, out: Path, indices: Sequence[int]
) -> None:
    """Write pictures of some images of a split.

    ``<stem>.image.png``, ``.truth.png``, and for each model ``.<name>.png`` and ``.<name>-errors.png``.
    """
    for index in indices:
        stem = files.items[index].stem.replace("/", "_")
        image, truth = files.pair(index)
        save(Image.fromarray(image), out / f"{stem}.image.png")
        save(colour_picture(truth, files.classes), out / f"{stem}.truth.png")
        for name, predict in predictors.items():
            label = predict(image)
            save(colour_picture(label, files.classes), out / f"{stem}.{name}.png")
            save(error_picture(image, label, truth, files.classes), out / f"{stem}.{name}-errors.png")


def images_at(path: Path) -> dict[str, Path]:
    """List one image, or all images below a folder, by stem.

    Raises:
        UserError: there is none.
    """
    found = {path.stem: path} if path.is_file() else find(path, IMAGE_SUFFIXES)
    if not found:
        raise UserError(f"{path}: no images ({', '.join(IMAGE_SUFFIXES)}).")
    return found


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture atomically."""
    with atomic(path) as temporary:
        picture.save(temporary)
