"""Predictions as files: label PNGs, overlays, and the sample pictures of a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import nn

from densekd.data.files import IMAGE_SUFFIXES, Classes, SegmentationFiles, find, read_image
from densekd.data.segmentation import Size, to_model_input
from densekd.errors import UserError
from densekd.evaluation.pictures import colour_picture, overlay
from densekd.files import atomic
from densekd.tasks import Segmentation


def predict_one(model: nn.Module, image: np.ndarray, classes: Classes, resize: Size | None) -> np.ndarray:
    """Predict the class numbers ``[H, W]`` (uint8) of a decoded image ``[H, W, 3]`` at its own size."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    task = Segmentation(len(classes.names), classes.ignore_index)
    with torch.no_grad():
        predicted = task.predict(
            model.eval(), to_model_input(image, resize)[None].to(device), torch.Size(image.shape[:2])
        )
    array: np.ndarray = predicted[0].to(torch.uint8).cpu().numpy()
    return array


def predict_folder(model: nn.Module, classes: Classes, resize: Size | None, images: Path, out: Path) -> int:
    """Write ``labels/<stem>.png`` and ``overlays/<stem>.png`` for one image or all images below a folder.

    Returns:
        How many images were predicted.

    Raises:
        UserError: no image there, or a damaged one.
    """
    found = {images.stem: images} if images.is_file() else find(images, IMAGE_SUFFIXES)
    if not found:
        raise UserError(f"{images}: no images ({', '.join(IMAGE_SUFFIXES)}).")
    for stem, path in track(found.items(), "predicting", transient=True):
        image = read_image(path)
        label = predict_one(model, image, classes, resize)
        _save(colour_picture(label, classes), out / "labels" / f"{stem}.png")
        _save(overlay(image, label, classes), out / "overlays" / f"{stem}.png")
    return len(found)


def sample_pictures(
    models: Mapping[str, nn.Module], files: SegmentationFiles, resize: Size | None, out: Path, indices: Sequence[int]
) -> None:
    """Write ``<stem>.image.png``, ``.truth.png`` and one ``.<name>.png`` per model for some images of a split."""
    for index in indices:
        stem = files.items[index].stem.replace("/", "_")
        image, truth = files.pair(index)
        _save(Image.fromarray(image), out / f"{stem}.image.png")
        _save(colour_picture(truth, files.classes), out / f"{stem}.truth.png")
        for name, model in models.items():
            label = predict_one(model, image, files.classes, resize)
            _save(colour_picture(label, files.classes), out / f"{stem}.{name}.png")


def _save(picture: Image.Image, path: Path) -> None:
    with atomic(path) as temporary:
        picture.save(temporary)
