"""Labels as pictures."""

import html
from collections.abc import Sequence

import numpy as np
from PIL import Image

from densekd.data.classes import Classes
from densekd.tasks.protocol import Figure

# Of the confusion matrix, in its own units: the side of a cell, and the room for the names.
_CELL = 22
_MARGIN = 130


def color_picture(label: np.ndarray, classes: Classes) -> Image.Image:
    """Turn class numbers ``[H, W]`` into an indexed picture with the classes' colors.

    Void is black.

    The file's pixel values are the class numbers themselves, so the same PNG is a label and a
    picture.
    """
    height, width = label.shape
    # An indexed picture: one byte a pixel, those of the array itself, and a table of 256 colors.
    values = np.ascontiguousarray(label, dtype=np.uint8)
    indexed = Image.frombuffer("P", (width, height), values, "raw", "P", 0, 1)
    colors = np.zeros((256, 3), dtype=np.uint8)
    colors[: len(classes.palette)] = classes.palette
    indexed.putpalette(colors.tobytes())
    return indexed


def overlay(image: np.ndarray, label: np.ndarray, classes: Classes) -> Image.Image:
    """Blend the classes' colors over an RGB image ``[H, W, 3]``, half and half."""
    return Image.blend(Image.fromarray(image), color_picture(label, classes).convert("RGB"), 0.5)


def error_picture(image: np.ndarray, label: np.ndarray, truth: np.ndarray, classes: Classes) -> Image.Image:
    """Show where a prediction is wrong: in the color of the wrong class, else pale grey, void black.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        label: predicted class numbers ``[H, W]``.
        truth: labels ``[H, W]``.
        classes: for the colors and void.
    """
    # The photograph, pale enough that every class shows on it.
    grey = image.mean(2, keepdims=True) * 0.25 + 175
    wrong = np.asarray(color_picture(label, classes).convert("RGB"))
    shown = np.where((label == truth)[..., None], grey, wrong)
    shown = np.where((truth == classes.ignore_index)[..., None], 0, shown)
    return Image.fromarray(shown.astype(np.uint8))


def confusion_picture(counts: Sequence[Sequence[int]], classes: Classes) -> Figure:
    """Draw a confusion matrix: rows are labels, columns predictions, each row as shares of its pixels.

    Args:
        counts: ``[C, C]`` pixels.
        classes: for the names.
    """
    pixels = np.array(counts)
    shares = pixels / np.maximum(pixels.sum(1, keepdims=True), 1)
    size = _MARGIN + len(classes.names) * _CELL + 10
    names = [html.escape(name) for name in classes.names]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="10">'
    ]
    # The names of the rows at the left, those of the columns at the top, turned.
    for k, name in enumerate(names):
        at = _MARGIN + (k + 0.5) * _CELL
        parts.append(f'<text x="{_MARGIN - 6}" y="{at + 3}" text-anchor="end">{name}</text>')
        parts.append(f'<text transform="translate({at + 3} {_MARGIN - 6}) rotate(-90)">{name}</text>')
    # Cells too faint to be seen are left out: of 150 classes most pairs never meet.
    for row, column in np.argwhere(shares >= 0.0005):
        share, x, y = shares[row, column], _MARGIN + column * _CELL, _MARGIN + row * _CELL
        color = "#2a7f4f" if row == column else "#c0392b"
        title = f"{names[row]} taken for {names[column]}: {100 * share:.1f} %"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_CELL - 1}" height="{_CELL - 1}" fill="{color}" '
            f'fill-opacity="{0.08 + 0.92 * share:.3f}"><title>{title}</title></rect>'
        )
    description = "confusion matrix: rows are labels, columns what the distilled student says"
    return Figure("confusion", "What is taken for what", description, "\n".join([*parts, "</svg>"]))
