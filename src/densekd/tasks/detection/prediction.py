"""Detections as files: pictures with boxes, COCO's results, and the sample pictures of a report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from torch import nn

from densekd.atomic import write_text
from densekd.data.classes import Classes
from densekd.data.detection import DetectionFiles, DetectionItem, to_detector_input
from densekd.data.files import read_image
from densekd.data.picture import RGB, Bands, shown_bands
from densekd.data.transforms import Limits
from densekd.errors import UserError
from densekd.ops.boxes import Detections
from densekd.tasks.common import (
    device_of,
    images_at,
    one_at_a_time,
    predict_each,
    require_all,
    sample_path,
    save_picture,
)
from densekd.tasks.detection.evaluation import coco_results, confident, detect, predict_boxes
from densekd.tasks.detection.pictures import box_picture, error_picture, found_marks, truth_marks
from densekd.tasks.records import Records

# Score from which a box is drawn.
THRESHOLD = 0.3


@dataclass(frozen=True)
class BoxPredictor:
    """A detector and all that it takes to find boxes in a picture.

    Args:
        model: changed to evaluation mode when it is used.
        classes: what it finds.
        categories: the number of each class in results files.
        resize: limits that images are brought to before the model, or None.
        threshold: score from which a box is drawn; results files hold all.
        bands: that are read of pictures; 3: RGB.
    """

    model: nn.Module
    classes: Classes
    categories: tuple[int, ...]
    resize: Limits | None = None
    threshold: float = THRESHOLD
    bands: Bands = RGB

    writes: ClassVar[tuple[str, ...]] = ("boxes", "detections.json")

    def __call__(self, image: np.ndarray) -> Detections:
        """Detect in a decoded image, uint8 RGB ``[H, W, 3]``.

        Boxes are in its pixels, whatever their score.
        """
        # Boxes are found at the size that the model wants, and brought back to the picture's.
        pixels = to_detector_input(image, self.resize)
        with one_at_a_time():
            (found,) = predict_boxes(self.model.eval(), [pixels], device_of(self.model))
        height, width = pixels.shape[1:]
        factors = found.boxes.new_tensor([image.shape[1] / width, image.shape[0] / height] * 2)
        return found._replace(boxes=found.boxes * factors)

    def drawn(self, image: np.ndarray) -> Image.Image:
        """Predict a decoded image and draw the boxes that are likely."""
        return box_picture(shown_bands(image), found_marks(confident(self(image), self.threshold), self.classes))

    def predict_folder(self, images: Path, out: Path, resume: bool = False, workers: int = 0) -> int:
        """Write ``boxes/<stem>.png`` for one image or all below a folder, and ``detections.json``, COCO's results.

        An image's number is what its name says, where the names are different numbers, as COCO's
        are; else they are counted from 1 in the order of their names.

        Returns:
            How many images were predicted.

        Raises:
            UserError: no image there; or damaged ones, after all others were predicted.
        """
        paths = images_at(images)
        numbers = dict(zip(paths, image_numbers(list(paths)), strict=True))
        records = Records(out, resume)

        def write(stem: str, path: Path) -> list[dict[str, Any]]:
            image = read_image(path, bands=self.bands)
            found = self(image)
            # Only what is likely is drawn; the results file holds all.
            marks = found_marks(confident(found, self.threshold), self.classes)
            save_picture(box_picture(shown_bands(image), marks), out / "boxes" / f"{stem}.png", fast=True)
            # The results say which file it is, whose suffix may be in the name already.
            file = f"{stem.removesuffix(path.suffix)}{path.suffix}"
            return coco_results(numbers[stem], file, found, self.categories)

        odd = predict_each(paths, write, records, workers)
        results: list[dict[str, Any]] = []
        for name in paths:
            # A resumed prediction may have more images, and so other numbers.
            number = {"image_id": numbers[name]}
            results += [one | number for one in records.found.get(name, [])]
        write_text(out / "detections.json", json.dumps(results) + "\n")
        require_all(odd, len(paths), out)
        return len(paths)

    def write_submission(self, images: Path, out: Path, benchmark: str) -> int:
        """Refuse: servers of detection take the results file as it is.

        Raises:
            UserError: always.
        """
        what = "the model is a detector: see its detections.json"
        raise UserError(f"{benchmark} wants labelled pixels, and {what}.")


def box_samples(
    predictors: Mapping[str, BoxPredictor], files: DetectionFiles, out: Path, indices: Sequence[int]
) -> None:
    """Write pictures of some images of a split.

    ``<stem>.image.png``, ``.truth.png``, and for each model ``.<name>.png`` and
    ``.<name>-errors.png``.
    """
    chosen = replace(files, items=tuple(map(files.items.__getitem__, indices)))
    _write_truths(chosen, out)
    for name, predict in predictors.items():
        for item, boxes in detect(predict.model, chosen, predict.resize):
            _write_found(chosen, item, name, confident(boxes, predict.threshold), out)


def draw_box_samples(predicted: Mapping[str, Sequence[Detections]], files: DetectionFiles, out: Path) -> None:
    """Write the pictures of :func:`box_samples` from what was found before.

    Args:
        predicted: of each model what it found in every image, in pixels of the original.
        files, out: as of :func:`box_samples`.
    """
    _write_truths(files, out)
    for name, found in predicted.items():
        for item, boxes in zip(files.items, found, strict=True):
            _write_found(files, item, name, confident(boxes, THRESHOLD), out)


def _write_truths(files: DetectionFiles, out: Path) -> None:
    """Write each image, and what is there."""
    for index, item in enumerate(files.items):
        image = shown_bands(files.image(index))
        save_picture(Image.fromarray(image), sample_path(out, item.stem, "image"))
        truth = box_picture(image, truth_marks(item.truth, files.classes))
        save_picture(truth, sample_path(out, item.stem, "truth"))


def _write_found(files: DetectionFiles, item: DetectionItem, name: str, found: Detections, out: Path) -> None:
    """Write what a model found in an image, and where it is wrong."""
    image = shown_bands(read_image(item.image, item.size, files.bands))
    errors = error_picture(image, found, item.truth, files.classes)
    picture = box_picture(image, found_marks(found, files.classes))
    save_picture(picture, sample_path(out, item.stem, name))
    save_picture(errors, sample_path(out, item.stem, f"{name}-errors"))


def image_numbers(stems: Sequence[str]) -> list[int]:
    """Read the images' numbers off their names where these are different numbers.

    Otherwise they are counted from 1.
    """
    names = [Path(stem).name for stem in stems]
    numbers = [int(name) for name in names if name.isdecimal()]
    # All of them are numbers, and no two are equal.
    if len(set(numbers)) == len(names):
        return numbers
    return list(range(1, len(names) + 1))
