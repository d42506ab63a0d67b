"""Pixel groups of depth maps: ranges of depth that hold equally many pixels."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from densekd.data.depth import DepthFiles
from densekd.data.maps import Resize, to_model_input
from densekd.tasks.depth.pictures import color_map
from densekd.tasks.pixel_groups import NO_GROUP, PixelGroups
from densekd.tasks.protocol import Color

_RANGES = 8


def depth_groups(files: DepthFiles, indices: Sequence[int], resize: Resize | None) -> PixelGroups:
    """Group the pixels of some images by ranges of depth; what was not measured belongs to none.

    See :class:`densekd.tasks.pixel_groups.GroupsPixels`.
    """
    images: list[Tensor] = []
    depths: list[Tensor] = []
    stems: list[str] = []
    for index in indices:
        image, depth = files.pair(index)
        images.append(to_model_input(image, resize))
        depths.append(torch.from_numpy(depth))
        stems.append(files.items[index].stem)
    # The ranges are those of all images together, or one color would mean several depths.
    measured = [depth[depth > 0] for depth in depths]
    edges = range_edges(torch.cat(measured))
    groups: list[Tensor] = []
    for known in depths:
        group = torch.bucketize(known, edges[1:-1], right=True)
        groups.append(group.where(known > 0, NO_GROUP))
    names = [f"{low:.3g} to {high:.3g} {files.unit}" for low, high in pairwise(edges.tolist())]
    return PixelGroups(tuple(names), range_colors(len(names)), tuple(images), tuple(groups), tuple(stems))


def range_edges(depths: Tensor) -> Tensor:
    """Return the ends of ranges that hold equally many of some depths ``[N]``; fewer where many are equal."""
    if not len(depths):
        return torch.zeros(2)
    places = np.linspace(0, 100, _RANGES + 1)
    edges = np.unique(np.percentile(depths.numpy(), places))
    # All depths are one: a range of no length.
    if len(edges) == 1:
        edges = edges.repeat(2)
    return torch.from_numpy(edges.astype(np.float32))


def range_colors(count: int) -> tuple[Color, ...]:
    """Return the colors of ranges from near to far: near is bright, as in the pictures of depth."""
    colors: list[Color] = []
    for red, green, blue in color_map(np.linspace(1, 0, count)[None], (0, 1))[0].tolist():
        colors.append((red, green, blue))
    return tuple(colors)
