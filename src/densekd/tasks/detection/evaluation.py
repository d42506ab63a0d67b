"""Score a detector on whole images, in pixels of their original size."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from densekd.atomic import write_text
from densekd.data.detection import (
    DetectionEvaluationSet,
    DetectionFiles,
    DetectionItem,
    EvaluationSample,
    pad_to_batch,
)
from densekd.data.loaders import evaluation_loader
from densekd.data.transforms import Limits
from densekd.models.contract import as_detector
from densekd.ops.boxes import Detections
from densekd.ops.finite import require_finite_output, tensors_in
from densekd.tasks.common import device_of, parameter_count, to_float
from densekd.tasks.detection.matches import match_rows
from densekd.tasks.detection.metric import BoxMetric, corner_and_size
from densekd.tasks.protocol import BY_IMAGE, Scores
from densekd.tasks.together import Compared, Loading, predictions_of
from densekd.terminal import track


@dataclass(frozen=True)
class DetectionEvaluation:
    """How detectors are scored: as COCO does, without options."""


def evaluate_boxes(
    model: nn.Module, files: DetectionFiles, resize: Limits | None, loading: Loading | None = None
) -> Scores:
    """Score ``model`` on every image of ``files``, in float32, on the device the model is on.

    Args:
        model: changed to evaluation mode.
        files: the images and boxes.
        resize: limits that images are brought to before the model, or None.
        loading: how images are loaded.

    Returns:
        The scores of :class:`densekd.tasks.detection.metric.BoxMetric` in percent, those of classes
        by name, ``by_image`` (see :func:`densekd.tasks.detection.matches.match_rows`), ``images`` and
        ``parameters``.
    """
    metric = BoxMetric(len(files.classes.names))
    for item, found in detect(model, files, resize, loading):
        metric.update(item, found)
    return _scores_of(metric, model, files)


@torch.no_grad()
def compare_boxes(
    models: Mapping[str, nn.Module],
    files: DetectionFiles,
    resize: Limits | None,
    loading: Loading,
    kept: Sequence[int] = (),
) -> Compared:
    """Score several detectors in one pass over the images.

    Args:
        models: by their roles, all on one device; changed to evaluation mode.
        files, resize, loading: as of :func:`evaluate_boxes`.
        kept: numbers of the images whose boxes, in pixels of the original, are returned.
    """
    device = device_of(next(iter(models.values())))
    metrics = {role: BoxMetric(len(files.classes.names)) for role in models}
    predicted: dict[str, dict[int, Any]] = {role: {} for role in models}
    for model in models.values():
        model.eval()
    number = 0
    for samples in _batches(files, resize, loading):
        for parts in predictions_of(models, predictions, samples, device):
            for role, (item, found) in parts.items():
                metrics[role].update(item, found)
                if number in kept:
                    predicted[role][number] = found
            number += 1
    return Compared({role: _scores_of(metrics[role], model, files) for role, model in models.items()}, predicted)


def _scores_of(metric: BoxMetric, model: nn.Module, files: DetectionFiles) -> Scores:
    scores = metric.compute()
    # What belongs to a class goes by its name.
    for key in ("ap_by_class", "ap50_by_class"):
        scores[key] = dict(zip(files.classes.names, scores[key], strict=True))
    scores[BY_IMAGE] = match_rows(metric.images, metric.num_classes)
    return {**scores, "images": len(files), "parameters": parameter_count(model)}


@torch.no_grad()
def detect(
    model: nn.Module, files: DetectionFiles, resize: Limits | None, loading: Loading | None = None
) -> Iterator[tuple[DetectionItem, Detections]]:
    """Yield every image of ``files`` and what ``model`` finds there, in pixels of the original.

    Arguments are those of :func:`evaluate_boxes`.
    """
    device = device_of(model.eval())
    for samples in _batches(files, resize, loading):
        yield from predictions(model, samples, device)


def _batches(files: DetectionFiles, resize: Limits | None, loading: Loading | None) -> Iterable[Any]:
    """Load all images, with a bar where there are many."""
    loading = loading or Loading()
    batches = evaluation_loader(DetectionEvaluationSet(files, resize), loading.batch, loading.workers)
    return track(batches, "detecting", shown=len(files) >= 20)


def predictions(
    model: nn.Module, samples: Sequence[EvaluationSample], device: torch.device
) -> Iterator[tuple[DetectionItem, Detections]]:
    """Detect in samples, neighbors of one size together.

    Each is yielded with its boxes in pixels of the original.
    """
    for _, group in groupby(samples, key=lambda sample: sample.image.shape):
        alike = list(group)
        found = predict_boxes(model, [sample.image for sample in alike], device)
        height, width = alike[0].image.shape[1:]
        # Height and width have factors of their own: sizes are rounded to whole pixels.
        for sample, one in zip(alike, found, strict=True):
            original_height, original_width = sample.item.size
            factors = one.boxes.new_tensor([original_width / width, original_height / height] * 2)
            yield sample.item, one._replace(boxes=one.boxes * factors)


def predict_boxes(model: nn.Module, images: Sequence[Tensor], device: torch.device) -> list[Detections]:
    """Detect in images.

    Args:
        model: any detector.
        images: uint8 RGB ``[3, h, w]`` each, at the size the model wants.
        device: where the model is.

    Returns:
        for each image what was found, boxes in its pixels.

    Raises:
        UserError: a model that is no detector.
        NotFiniteError: NaN or infinity in its output.
    """
    detector = as_detector(model)
    # The sizes before padding say where an image ends.
    batch, sizes = pad_to_batch(images)
    output = detector(to_float(batch.to(device)))
    # Boxes of NaN have no score, and would be left out in silence.
    for maps in tensors_in(output):
        require_finite_output(maps, "the detector's maps are")
    found = detector.detect(output, sizes.to(device))
    for one in found:
        require_finite_output(one.boxes.abs(), "boxes are")
        require_finite_output(one.scores, "scores of boxes are")
    return found


def confident(found: Detections, threshold: float) -> Detections:
    """Keep what has at least a score."""
    keep = found.scores >= threshold
    return Detections(found.boxes[keep], found.scores[keep], found.labels[keep])


def coco_results(number: int, file: str, found: Detections, categories: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return what was found in one image as entries of COCO's results.

    Args:
        number: of the image.
        file: its name.
        found: boxes in its pixels.
        categories: the number of each class.
    """
    image = {"image_id": number, "file_name": file}
    results: list[dict[str, Any]] = []
    for box, score, label in zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True):
        results.append(image | {"category_id": categories[label], "bbox": corner_and_size(box), "score": score})
    return results


def write_results(found: Iterable[tuple[DetectionItem, Detections]], categories: tuple[int, ...], path: Path) -> None:
    """Write what was found as COCO's results: image_id, category_id, bbox (x, y, width, height) and score of each box.

    ``file_name`` says which image it is where numbers were given and not read; scorers ignore it.

    Args:
        found: images and what was found there.
        categories: the number of each class.
        path: the JSON file; written whole or not at all.
    """
    results: list[dict[str, Any]] = []
    for item, one in found:
        results += coco_results(item.number, f"{item.stem}{item.image.suffix}", one, categories)
    write_text(path, json.dumps(results) + "\n")
