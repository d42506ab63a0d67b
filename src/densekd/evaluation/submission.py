"""Predictions as the benchmarks' servers want them."""

from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from densekd.data.classes import published_classes
from densekd.data.files import IMAGE_SUFFIXES, find, read_image
from densekd.errors import UserError, suggest
from densekd.evaluation.pictures import colour_picture
from densekd.evaluation.predict import Predictor, save
from densekd.evaluation.predict_boxes import BoxPredictor

BENCHMARKS = ("ade20k", "cityscapes", "voc")


def write_submission(predict: Predictor | BoxPredictor, images: Path, out: Path, benchmark: str) -> int:
    """Predict all images below a folder into one flat folder of PNGs named after them.

    ``cityscapes``: label ids (road 7), ``<city>_<sequence>_<frame>_leftImg8bit.png``. ``ade20k``: 1..150. ``voc``:
    0..20 with the VOC palette.

    Args:
        predict: a model of the benchmark's classes, in its order.
        images: the test images, in sub-folders or not.
        out: for the PNGs.
        benchmark: one of ``BENCHMARKS``.

    Returns:
        How many images were predicted.

    Raises:
        UserError: an unknown benchmark, a detector, a model of other classes, no image, or two of one name.
    """
    if benchmark not in BENCHMARKS:
        raise UserError(f"Unknown benchmark '{benchmark}'. {suggest(benchmark, BENCHMARKS)}")
    if isinstance(predict, BoxPredictor):
        raise UserError(f"{benchmark} wants labelled pixels, and the model is a detector: see its detections.json.")
    classes = published_classes(benchmark)
    if len(predict.classes.names) != len(classes.names):
        raise UserError(f"The model has {len(predict.classes.names)} classes, {benchmark} {len(classes.names)}.")
    found = find(images, IMAGE_SUFFIXES)
    names = [path.stem for path in found.values()]
    if not found or len(set(names)) < len(names):
        what = "no images" if not found else "images of one name in several sub-folders"
        raise UserError(f"{images}: {what}; the submission is one flat folder.")
    table = np.array(classes.submission or range(len(classes.names)), dtype=np.uint8)
    for path in track(found.values(), "predicting", transient=True):
        label = table[predict(read_image(path))]
        picture = colour_picture(label, classes) if benchmark == "voc" else Image.fromarray(label)
        save(picture, out / f"{path.stem}.png")
    return len(found)
