"""Boxes as pictures: what is there, what was found, and where the two differ."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from densekd.data.annotations import Annotations
from densekd.data.classes import Classes
from densekd.ops.boxes import Detections, box_area, box_intersection

Color = tuple[int, int, int]

# Vermilion, blue and bluish green: the colors of Okabe and Ito that color-blind eyes tell apart.
FALSE, MISSED, RIGHT = (213, 94, 0), (0, 114, 178), (0, 158, 115)
_OVERLAP = 0.5


class Mark(NamedTuple):
    """A box ``x1, y1, x2, y2`` in pixels, what is written at it, and its color."""

    box: Sequence[float]
    text: str
    color: Color


def box_picture(image: np.ndarray, marks: Sequence[Mark]) -> Image.Image:
    """Draw boxes on an RGB image ``[H, W, 3]``, the first of them on top."""
    picture = Image.fromarray(image)
    pencil = ImageDraw.Draw(picture)
    # Lines and letters grow with the picture, so that they are seen when it is shrunk.
    longest = max(picture.size)
    font, width = ImageFont.load_default(max(10, longest // 60)), max(2, longest // 320)
    for box, text, color in reversed(marks):
        left, top, right, bottom = map(round, box)
        # The far side belongs to the next pixel; a box thinner than a pixel is drawn as one.
        right, bottom = max(left, right - 1), max(top, bottom - 1)
        pencil.rectangle((left, top, right, bottom), outline=color, width=width)
        _write(pencil, (left, top), text, color, font)
    return picture


def truth_marks(truth: Annotations, classes: Classes) -> list[Mark]:
    """Mark the boxes of an image with their classes' names."""
    marks: list[Mark] = []
    for box, label, crowd in zip(truth.boxes.tolist(), truth.labels, truth.crowd, strict=True):
        name = classes.names[label]
        if crowd:
            name += " (crowd)"
        marks.append(Mark(box, name, classes.palette[label]))
    return marks


def found_marks(found: Detections, classes: Classes) -> list[Mark]:
    """Mark what was found with class and score."""
    marks: list[Mark] = []
    rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    for box, score, label in rows:
        marks.append(Mark(box, f"{classes.names[label]} {score:.2f}", classes.palette[label]))
    return marks


def error_picture(image: np.ndarray, found: Detections, truth: Annotations, classes: Classes) -> Image.Image:
    """Show boxes that were missed and false ones, each with its name, and right ones without.

    The image is shown in pale grey.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        found: what counts as found, best score first.
        truth: the image's boxes.
        classes: for the names.
    """
    # The photograph, pale enough that every box shows on it.
    grey = (image.mean(2, keepdims=True) * 0.25 + 175).astype(np.uint8).repeat(3, 2)
    false, missed = mistakes(found, truth)
    wrong: list[Mark] = []
    right: list[Mark] = []
    for one, is_false in zip(found_marks(found, classes), false, strict=True):
        if is_false:
            wrong.append(Mark(one.box, f"false: {one.text}", FALSE))
        else:
            right.append(Mark(one.box, "", RIGHT))
    for one, is_missed in zip(truth_marks(truth, classes), missed, strict=True):
        if is_missed:
            wrong.append(Mark(one.box, f"missed: {one.text}", MISSED))
    # Mistakes lie on top of what is right.
    return box_picture(grey, wrong + right)


def mistakes(found: Detections, truth: Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Match as COCO does at IoU 0.5: each box found, best first, takes the free one of its class it overlaps most.

    Returns:
        Which boxes found are false, bool ``[N]``, and which true ones are missed, bool ``[M]``.
        Neither is a crowd, nor what lies with more than half of its area inside one.
    """
    boxes, true_boxes = found.boxes.cpu().double(), torch.from_numpy(truth.boxes).double()
    labels = found.labels.cpu().numpy()
    false, missed = np.ones(len(labels), bool), ~truth.crowd
    shared = box_intersection(boxes, true_boxes).numpy()
    own, others = box_area(boxes).numpy()[:, None], box_area(true_boxes).numpy()
    # IoU of every pair; in a crowd, the share of the found box that lies inside.
    union = np.where(truth.crowd, own, own + others - shared)
    overlap = shared / np.maximum(union, np.finfo(float).tiny)
    for k, label in enumerate(labels):
        # The best box of its class that nothing better has taken; if there is none, a crowd will do.
        candidates = np.where(truth.labels == label, overlap[k], 0)
        free = np.where(missed, candidates, 0)
        if free.size and free.max() >= _OVERLAP:
            missed[free.argmax()] = false[k] = False
        elif (candidates[truth.crowd] >= _OVERLAP).any():
            false[k] = False
    return false, missed


def _write(
    pencil: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    color: Color,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Write above a box on its color, or inside it where there is no room above."""
    if not text:
        return
    # Inside the picture, whatever the box.
    left, top = max(0, corner[0]), corner[1]
    _, _, width, height = pencil.textbbox((0, 0), text, font=font)
    above = max(0, top - round(height) - 2)
    pencil.rectangle((left, above, left + round(width) + 3, above + round(height) + 2), fill=color)
    red, green, blue = color
    # Black on bright colors, white on dark ones.
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    pencil.text((left + 2, above), text, fill=ink, font=font)
