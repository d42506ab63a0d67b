"""Labels as pictures."""

import numpy as np
from PIL import Image

from densekd.data.classes import Classes


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
