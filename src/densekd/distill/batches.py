"""Batches of any loader: mappings, ``(images, labels)`` tuples, images alone."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor

from densekd.data.annotations import Annotation, stacked
from densekd.data.detection import DetectionItem, EvaluationSample, pad_to_batch
from densekd.data.maps import Sample
from densekd.errors import UserError

# Keys of a batch that a target is made of: labels of pixels, or boxes.
TARGETS = ("target", "boxes")


def peek(data: Iterable[Any]) -> tuple[Any, Iterable[Any]]:
    """Return the first batch, and data from which it is not missing.

    Raises:
        UserError: there is none.
    """
    iterator = iter(data)
    first = next(iterator, None)
    if first is None:
        raise UserError("The data gave no batch.")
    # A loader begins anew; a generator does not.
    return first, chain([first], iterator) if iterator is data else data


def as_batch(batch: Any) -> Mapping[str, Any]:
    """Return a batch as a mapping with ``images`` and, of labels, ``target`` or ``boxes``.

    Args:
        batch: a mapping, returned as it is (without a ``target`` that is None); ``(images,
            labels)`` with images ``[B, 3, H, W]`` and labels ``[B, H, W]`` or None; ``(images,
            targets)`` as torchvision's detectors take them, images ``[3, H, W]`` of any sizes and
            for each a mapping with ``boxes [N, 4]`` and ``labels [N]``; or images alone. Images are
            uint8, or float in [0, 1].

    Raises:
        UserError: none of these.
    """
    if isinstance(batch, Mapping):
        if "images" not in batch:
            raise UserError(f"A batch is a mapping with 'images' and 'target'; this one has {', '.join(batch)}.")
        # A target that is None is none.
        return {name: value for name, value in batch.items() if value is not None}
    if isinstance(batch, Tensor):
        return {"images": batch}
    if not isinstance(batch, Sequence) or len(batch) != 2:
        raise UserError(f"A batch is a mapping, (images, labels) or images; this one is a {type(batch).__name__}.")
    images, labels = batch
    if type(images).__module__ == "numpy" or type(labels).__module__ == "numpy":
        raise UserError("A batch is made of tensors, not of arrays; torch.from_numpy makes one of the other.")
    if labels is None:
        return {"images": images}
    if isinstance(labels, Tensor):
        return {"images": images, "target": labels}
    return _detection_batch(images, labels)


def has_target(batch: Mapping[str, Any]) -> bool:
    """Say whether a batch has labels."""
    return any(name in batch for name in TARGETS)


def as_samples(batch: Any, first: int = 0) -> Sequence[Any]:
    """Return a validation batch as samples that a task evaluates; samples stay as they are.

    Args:
        batch: what our own loaders give, or as for :func:`as_batch`, with labels.
        first: number of its first image, where boxes are scored; every image has its own.

    Raises:
        UserError: a batch without labels.
    """
    if isinstance(batch, list) and hasattr(batch[0], "image"):
        return batch
    batch = as_batch(batch)
    if "boxes" in batch:
        return _detection_samples(batch, first)
    if "target" not in batch:
        raise UserError("Validation data needs labels; this batch has images alone.")
    pairs = zip(batch["images"], batch["target"], strict=True)
    return [Sample(image, label) for image, label in pairs]


def _detection_batch(images: Any, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
    """Pad images of any sizes to one, and take boxes and labels apart."""
    padded, sizes = pad_to_batch(images)
    return {
        "images": padded,
        "boxes": [one["boxes"] for one in targets],
        "labels": [one["labels"] for one in targets],
        "sizes": sizes.to(padded.device),
    }


def _detection_samples(batch: Mapping[str, Any], first: int) -> list[EvaluationSample]:
    """Cut the padding off and describe each image with its boxes, as a dataset would."""
    samples = []
    sizes = batch["sizes"].tolist()
    rows = zip(batch["images"], batch["boxes"], batch["labels"], sizes, strict=True)
    for number, (image, boxes, labels, (height, width)) in enumerate(rows, first):
        truth = []
        for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            area = (x2 - x1) * (y2 - y1)
            truth.append(Annotation((x1, y1, x2, y2), label, crowd=False, area=area))
        item = DetectionItem(str(number), Path(), number, (height, width), stacked(truth))
        samples.append(EvaluationSample(image[:, :height, :width], item))
    return samples
