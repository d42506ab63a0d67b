"""Pixel groups of label maps: the classes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from densekd.data.files import SegmentationFiles
from densekd.data.maps import Resize, to_model_input
from densekd.tasks.pixel_groups import NO_GROUP, PixelGroups


def class_groups(files: SegmentationFiles, indices: Sequence[int], resize: Resize | None) -> PixelGroups:
    """Group the pixels of some images by their class; void pixels belong to none.

    See :class:`densekd.tasks.pixel_groups.GroupsPixels`.
    """
    images: list[Tensor] = []
    groups: list[Tensor] = []
    stems: list[str] = []
    for index in indices:
        image, label = files.pair(index)
        classes = torch.from_numpy(label).long()
        images.append(to_model_input(image, resize))
        groups.append(classes.where(classes != files.classes.ignore_index, NO_GROUP))
        stems.append(files.items[index].stem)
    names, colors = files.classes.names, files.classes.palette
    return PixelGroups(names, colors, tuple(images), tuple(groups), tuple(stems))
