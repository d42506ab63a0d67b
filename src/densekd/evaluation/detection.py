"""Score a detector on whole images, in pixels of their original size."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import nn

from densekd.atomic import write_text
from densekd.data.detection import DetectionEvaluationSet, DetectionFiles, DetectionItem
from densekd.data.loaders import evaluation_loader
from densekd.data.transforms import Limits
from densekd.evaluation.segmentation import device_of
from densekd.metrics.boxes import corner_and_size
from densekd.ops.boxes import Detections
from densekd.tasks import Detection


def evaluate_boxes(model: nn.Module, files: DetectionFiles, resize: Limits | None, workers: int = 0) -> dict[str, Any]:
    """Score ``model`` on every image of ``files``, in float32, on the device the model is on.

    Args:
        model: changed to evaluation mode.
        files: the images and boxes.
        resize: limits that images are brought to before the model, or None.
        workers: loading processes.

    Returns:
        The scores of :class:`densekd.metrics.BoxMetric` in percent, those of classes by name, ``images`` and
        ``parameters``.
    """
    metric = Detection(len(files.classes.names)).metric()
    for item, found in detect(model, files, resize, workers):
        metric.update(item, found)
    scores = metric.compute()
    by_class = ("ap_by_class", "ap50_by_class")
    scores |= {key: dict(zip(files.classes.names, scores[key], strict=True)) for key in by_class}
    return {**scores, "images": len(files), "parameters": sum(p.numel() for p in model.parameters())}


@torch.no_grad()
def detect(
    model: nn.Module, files: DetectionFiles, resize: Limits | None, workers: int = 0
) -> Iterator[tuple[DetectionItem, Detections]]:
    """Yield every image of ``files`` and what ``model`` finds there, in pixels of the original; as above."""
    device = device_of(model.eval())
    task = Detection(len(files.classes.names))
    batches = evaluation_loader(DetectionEvaluationSet(files, resize), batch_size=8, workers=workers)
    for samples in track(batches, "detecting", transient=True, disable=len(files) < 20):
        yield from task.predictions(model, samples, device)


def confident(found: Detections, threshold: float) -> Detections:
    """Keep what has at least a score."""
    keep = found.scores >= threshold
    return Detections(found.boxes[keep], found.scores[keep], found.labels[keep])


def write_results(found: Iterable[tuple[DetectionItem, Detections]], categories: tuple[int, ...], path: Path) -> None:
    """Write what was found as COCO's results: image_id, category_id, bbox (x, y, width, height) and score of each box.

    ``file_name`` says which image it is where numbers were given and not read; scorers ignore it.

    Args:
        found: images and what was found there.
        categories: the number of each class.
        path: the JSON file; written whole or not at all.
    """
    results = [
        {"image_id": item.number, "file_name": f"{item.stem}{item.image.suffix}"}
        | {"category_id": categories[label], "bbox": corner_and_size(box), "score": score}
        for item, boxes in found
        for box, score, label in zip(*(values.tolist() for values in boxes), strict=True)
    ]
    write_text(path, json.dumps(results) + "\n")
