"""Scores of object detection: COCO's average precision and recall."""

import logging
from typing import Any, Protocol

import numpy as np
import torch.distributed as dist
from torch import nn

from densekd.ops.boxes import Detections
from densekd.registry import optional_import

# Sizes of boxes that are scored apart, and how many boxes of a class may be found in an image.
_AREAS = ("all", "small", "medium", "large")
_MOST = (1, 10, 100)

_Truth = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
_Found = tuple[np.ndarray, np.ndarray, np.ndarray]


class Labelled(Protocol):
    """What is read of a :class:`densekd.data.detection.DetectionItem`."""

    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def truth(self) -> _Truth: ...  # noqa: D102


class BoxMetric(nn.Module):
    """Collect the boxes of images and what was found there; score them as COCO does.

    faster-coco-eval does the matching, whose numbers are those of pycocotools. An image counts
    once, by its number, however often and in whichever process it was added.

    Args:
        num_classes: C; labels are 0..C-1.

    Raises:
        UserError: faster-coco-eval is not installed.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        # What is missing is said before anything is trained, not when there are scores to compute.
        optional_import("faster_coco_eval", "coco")
        self.num_classes = num_classes
        self.images: dict[int, tuple[_Truth, _Found]] = {}

    def update(self, item: Labelled, detections: Detections) -> None:
        """Add an image and what was found there, in pixels of its original size."""
        found = (
            detections.boxes.detach().cpu().numpy(),
            detections.scores.detach().cpu().numpy(),
            detections.labels.detach().cpu().numpy(),
        )
        self.images[item.number] = (item.truth, found)

    def reset(self) -> None:
        """Forget everything."""
        self.images.clear()

    def gather(self) -> None:
        """Collect the images of all processes, each of which must call this; alone, do nothing."""
        # Images of several processes differ, or are equal: each counts once, by its number.
        if dist.is_available() and dist.is_initialized():
            parts: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(parts, self.images)
            for part in parts:
                self.images |= part

    def compute(self) -> dict[str, Any]:
        """Return COCO's scores in percent.

        None stands where no box counts, so that there is nothing to find.

        Returns:
            ``ap``: average precision, mean over classes and the IoU thresholds 0.5, 0.55 ... 0.95;
            ``ap50``, ``ap75``: at one threshold; ``ap_small``, ``ap_medium``, ``ap_large``: of
            boxes below 32 x 32, below 96 x 96 and larger ones. ``ar_1``, ``ar_10``, ``ar_100``:
            average recall with at most so many boxes of each class in an image; ``ar_small``,
            ``ar_medium``, ``ar_large``. ``ap_by_class``, ``ap50_by_class``: lists of C.

        Raises:
            UserError: faster-coco-eval is not installed.
        """
        precision, recall = self._matched()
        # Of boxes of all sizes, with up to 100 of a class in an image: [thresholds, recalls, C].
        best = precision[..., 0, -1]
        scores: dict[str, Any] = {"ap": _mean(best), "ap50": _mean(best[0]), "ap75": _mean(best[5])}
        # By size of the boxes, and by how many of a class may be found in an image.
        for k, area in enumerate(_AREAS[1:], 1):
            scores[f"ap_{area}"] = _mean(precision[..., k, -1])
            scores[f"ar_{area}"] = _mean(recall[..., k, -1])
        for k, most in enumerate(_MOST):
            scores[f"ar_{most}"] = _mean(recall[..., 0, k])
        classes = range(self.num_classes)
        scores["ap_by_class"] = [_mean(best[:, :, c]) for c in classes]
        scores["ap50_by_class"] = [_mean(best[0, :, c]) for c in classes]
        return scores

    def _matched(self) -> tuple[np.ndarray, np.ndarray]:
        """Return precision ``[thresholds, recalls, C, areas, most]`` and recall without the second.

        -1 stands for what is not defined.
        """
        T, R, C, A, M = 10, 101, self.num_classes, len(_AREAS), len(_MOST)
        # The matcher refuses to begin with nothing.
        if not self.images or not C:
            return np.full((T, R, C, A, M), -1.0), np.full((T, C, A, M), -1.0)
        library = optional_import("faster_coco_eval", "coco")
        # The library takes both sides as COCO's JSON describes them.
        truth = library.COCO(self._dataset(self._truth()))
        found = library.COCO(self._dataset(self._found()))
        silent = logging.getLogger(__name__).debug
        evaluation = library.COCOeval_faster(truth, found, iouType="bbox", print_function=silent)
        evaluation.evaluate()
        evaluation.accumulate()
        return evaluation.eval["precision"], evaluation.eval["recall"]

    def _dataset(self, boxes: list[dict[str, Any]]) -> dict[str, Any]:
        """Return COCO's description of the images with some boxes."""
        images = [{"id": number} for number in self.images]
        categories = [{"id": c, "name": str(c)} for c in range(self.num_classes)]
        return {"images": images, "categories": categories, "annotations": boxes}

    def _truth(self) -> list[dict[str, Any]]:
        boxes: list[dict[str, Any]] = []
        for number, (truth, _) in self.images.items():
            corners, labels, crowds, areas = (column.tolist() for column in truth)
            for box, label, crowd, area in zip(corners, labels, crowds, areas, strict=True):
                one = _annotation(len(boxes), number, box, label)
                boxes.append(one | {"iscrowd": int(crowd), "area": area})
        return boxes

    def _found(self) -> list[dict[str, Any]]:
        boxes: list[dict[str, Any]] = []
        for number, (_, found) in self.images.items():
            corners, scores, labels = (column.tolist() for column in found)
            for box, score, label in zip(corners, scores, labels, strict=True):
                one = _annotation(len(boxes), number, box, label)
                _, _, width, height = one["bbox"]
                boxes.append(one | {"iscrowd": 0, "score": score, "area": width * height})
        return boxes


def corner_and_size(box: list[float]) -> list[float]:
    """Turn ``x1, y1, x2, y2`` into COCO's ``x, y, width, height``."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


def _annotation(earlier: int, number: int, box: list[float], label: int) -> dict[str, Any]:
    """Describe one box; boxes count from 1, because to the matcher 0 means none."""
    return {"id": earlier + 1, "image_id": number, "category_id": label, "bbox": corner_and_size(box)}


def _mean(values: np.ndarray) -> float | None:
    """Return the mean of the defined values in percent; -1 stands for what is not defined."""
    defined = values[values > -1]
    if not defined.size:
        return None
    return 100 * float(defined.mean())
