"""Predictions as the benchmarks' servers want them.

``cityscapes``: label ids (road 7), ``<city>_<sequence>_<frame>_leftImg8bit.png``. ``ade20k``:
1..150. ``voc``: 0..20 with the VOC palette. All of them: one flat folder of PNGs, named after the
images.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from densekd.data.class_order import describe_difference, positions
from densekd.data.classes import Classes, published_classes
from densekd.data.files import IMAGE_SUFFIXES, find
from densekd.errors import UserError, suggest
from densekd.models.classes import are_unnamed
from densekd.tasks.segmentation.pictures import color_picture

BENCHMARKS = ("ade20k", "cityscapes", "voc")


def require_benchmark(benchmark: str, classes: Classes) -> Classes:
    """Return the classes of a benchmark, which must be as many as the model's.

    Raises:
        UserError: an unknown benchmark, or a model of other classes.
    """
    if benchmark not in BENCHMARKS:
        raise UserError(f"Unknown benchmark '{benchmark}'. {suggest(benchmark, BENCHMARKS)}")
    wanted = published_classes(benchmark)
    if len(classes.names) != len(wanted.names):
        counts = f"{len(classes.names)} classes, {benchmark} {len(wanted.names)}"
        raise UserError(f"The model has {counts}.")
    # The server knows numbers alone, so the order must be its own.
    if not are_unnamed(classes) and positions(classes.names, wanted.names) != tuple(range(len(wanted.names))):
        difference = describe_difference(classes.names, wanted.names, "the model", benchmark)
        raise UserError(f"{difference} The server counts classes in its own order.")
    return wanted


def submission_images(folder: Path) -> list[Path]:
    """List the images below a folder, whose names alone must tell them apart.

    Raises:
        UserError: no image, or two of one name.
    """
    found = list(find(folder, IMAGE_SUFFIXES).values())
    flat = "the submission is one flat folder"
    if not found:
        raise UserError(f"{folder}: no images; {flat}.")
    # Sub-folders disappear, and two images of one name with them.
    if len({path.stem for path in found}) < len(found):
        raise UserError(f"{folder}: images of one name in several sub-folders; {flat}.")
    return found


def submission_values(classes: Classes) -> np.ndarray:
    """Return what the server wants for each class, uint8 ``[C]``."""
    return np.array(classes.submission or range(len(classes.names)), dtype=np.uint8)


def submission_picture(values: np.ndarray, classes: Classes, benchmark: str) -> Image.Image:
    """Return the picture of one prediction, uint8 ``[H, W]`` in the server's values."""
    if benchmark == "voc":
        return color_picture(values, classes)
    return Image.fromarray(values)
