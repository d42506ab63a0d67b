"""Channel maps: the softmax of single channels over all positions, which channel-wise distillation compares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from densekd.losses.inputs import labels_at
from densekd.tasks.depth.pictures import color_map
from densekd.tasks.pixel_groups import PixelGroups

# Of the softmax: CWD's for logits (arXiv 2011.13256).
TEMPERATURE = 4.0
CHANNELS = 3
# Steps of brightness, few enough for an indexed picture.
_STEPS = 200


@dataclass(frozen=True)
class Channel:
    """One channel of a map: its number and what it stands for."""

    number: int
    name: str


def channel_map(features: Tensor, channel: int) -> Tensor:
    """Return the softmax over positions of one channel, divided by its greatest value.

    Args:
        features: ``[C, h, w]``.
        channel: its number.

    Returns:
        ``[h, w]`` in 0..1; a channel that does not vary is 1 everywhere.
    """
    values = features[channel] / TEMPERATURE
    # The greatest value of the softmax is that of the greatest activation.
    return (values - values.max()).exp()


def map_picture(values: Tensor) -> Image.Image:
    """Color a channel map ``[h, w]`` from dark, its least value, to bright, its greatest."""
    low, high = float(values.min()), float(values.max())
    # A map that does not vary is dark.
    share = (values - low) / max(high - low, 1e-12)
    steps = (share * _STEPS).round() / _STEPS
    return Image.fromarray(color_map(steps.numpy().astype(np.float64), (0, 1)))


def logit_channels(pixels: PixelGroups, image: int, logits: Tensor) -> list[Channel]:
    """Choose channels of logits: the classes with most pixels in the image; of a single channel that one.

    Args:
        pixels: for the groups, whose numbers are those of the channels where there are as many.
        image: its number.
        logits: ``[K, h, w]``.

    Returns:
        Nothing where channels do not stand for groups.
    """
    K, h, w = logits.shape
    if K == 1:
        return [Channel(0, "output")]
    if len(pixels.names) != K:
        return []
    at = labels_at(pixels.groups[image][None], (h, w))
    counts = torch.bincount(at[at >= 0], minlength=K)
    chosen: list[Channel] = []
    for number in counts.argsort(descending=True, stable=True)[:CHANNELS].tolist():
        if counts[number]:
            chosen.append(Channel(number, pixels.names[number]))
    return chosen


def varied_channels(features: Tensor) -> list[Channel]:
    """Choose the channels of a feature map ``[C, h, w]`` that vary most over its positions."""
    spread = features.flatten(1).std(1, correction=0)
    order: Sequence[int] = spread.argsort(descending=True, stable=True)[:CHANNELS].tolist()
    return [Channel(number, f"channel {number}") for number in order]
