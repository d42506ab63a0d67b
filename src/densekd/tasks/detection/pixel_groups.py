"""Pixel groups of boxes: the class of the smallest box that covers a pixel."""

from collections.abc import Sequence

import torch
from torch import Tensor

from densekd.data.annotations import training_boxes
from densekd.data.detection import DetectionFiles, pad_to_batch, to_detector_input
from densekd.data.transforms import Limits
from densekd.tasks.pixel_groups import NO_GROUP, PixelGroups


def box_groups(files: DetectionFiles, indices: Sequence[int], resize: Limits | None) -> PixelGroups:
    """Group the pixels of some images by the smallest box over them; others belong to none.

    Images are padded as a detector sees them. Boxes are those that a detector is trained on.
    See :class:`densekd.tasks.pixel_groups.GroupsPixels`.
    """
    images: list[Tensor] = []
    groups: list[Tensor] = []
    stems: list[str] = []
    for index in indices:
        item = files.items[index]
        image = to_detector_input(files.image(index), resize)
        # Boxes follow their image to the size that the model sees.
        boxes, labels = map(torch.from_numpy, training_boxes(item.truth, item.size))
        (height, width), (H, W) = item.size, image.shape[-2:]
        boxes = boxes * torch.tensor([W / width, H / height] * 2)
        padded, _ = pad_to_batch([image])
        images.append(padded[0])
        groups.append(paint_boxes(boxes, labels, (padded.shape[2], padded.shape[3])))
        stems.append(item.stem)
    names, colors = files.classes.names, files.classes.palette
    return PixelGroups(names, colors, tuple(images), tuple(groups), tuple(stems))


def paint_boxes(boxes: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Paint the labels of boxes on a map, the smallest box on top.

    Args:
        boxes: ``[N, 4]``, corners x1, y1, x2, y2 in pixels.
        labels: int64 ``[N]``.
        size: height and width of the map.

    Returns:
        int64 ``[H, W]``, ``NO_GROUP`` outside all boxes.
    """
    painted = torch.full(size, NO_GROUP)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for k in area.argsort(descending=True).tolist():
        x1, y1, x2, y2 = boxes[k].round().int().tolist()
        painted[y1:y2, x1:x2] = labels[k]
    return painted
