"""Labels as pictures."""

import numpy as np
from PIL import Image

from densekd.data.files import Classes


def colour_picture(label: np.ndarray, classes: Classes) -> Image.Image:
    """Turn class numbers ``[H, W]`` into an indexed picture with the classes' colours; void is black.

    The file's pixel values are the class numbers themselves, so the same PNG is a label and a picture.
    """
    height, width = label.shape
    indexed = Image.frombytes("P", (width, height), label.astype(np.uint8).tobytes())
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(classes.palette)] = classes.palette
    indexed.putpalette(colours.tobytes())
    return indexed


def overlay(image: np.ndarray, label: np.ndarray, classes: Classes) -> Image.Image:
    """Blend the classes' colours over an RGB image ``[H, W, 3]``, half and half."""
    return Image.blend(Image.fromarray(image), colour_picture(label, classes).convert("RGB"), 0.5)
