"""Object detection as a task: the detector's own losses, boxes at original size, COCO's average precision."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from densekd.data.detection import DetectionItem, EvaluationSample, pad_to_batch
from densekd.metrics import BoxMetric
from densekd.models.contract import as_detector, is_detector, num_classes
from densekd.ops.boxes import Boxes, Detections
from densekd.tasks.segmentation import as_float


class Detection(nn.Module):
    """Detect objects: the model brings its loss and its decoding.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return nothing: the loss reads the output alone.

        Raises:
            UserError: a student that is no detector.
        """
        as_detector(student)
        return []

    def images(self, batch: Mapping[str, Any]) -> Tensor:
        """Return what a model takes: float in [0, 1], ``[B, 3, H, W]``, from the uint8 images that travelled."""
        return as_float(batch["images"])

    def target(self, batch: Mapping[str, Any]) -> Boxes:
        """Return the boxes of the batch."""
        return Boxes(batch["boxes"], batch["labels"], batch["sizes"])

    def losses(
        self, student: nn.Module, output: Any, student_features: Mapping[str, Tensor], target: Boxes
    ) -> dict[str, Tensor]:
        """Return the weighted summands of the student's own loss."""
        return as_detector(student).losses(output, target)

    def fits(self, model: nn.Module, images: Tensor) -> bool:
        """Say whether a model can be scored: it detects, and as many classes."""
        return is_detector(model) and num_classes(model) in (None, self.num_classes)

    def metric(self) -> BoxMetric:
        """Return a new accumulator for :meth:`evaluate`."""
        return BoxMetric(self.num_classes)

    def evaluate(self, model: nn.Module, samples: Sequence[EvaluationSample], metric: BoxMetric) -> None:
        """Add samples of any size to ``metric``."""
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        for item, found in self.predictions(model, samples, device):
            metric.update(item, found)

    def predictions(
        self, model: nn.Module, samples: Sequence[EvaluationSample], device: torch.device
    ) -> Iterator[tuple[DetectionItem, Detections]]:
        """Detect in samples, those of one size together; yield them with their boxes in pixels of the originals."""
        for _, group in groupby(samples, key=lambda sample: sample.image.shape):
            alike = list(group)
            found = self.predict(model, [sample.image for sample in alike], device)
            height, width = alike[0].image.shape[1:]
            for sample, one in zip(alike, found, strict=True):
                factors = one.boxes.new_tensor([sample.item.size[1] / width, sample.item.size[0] / height] * 2)
                yield sample.item, one._replace(boxes=one.boxes * factors)

    def predict(self, model: nn.Module, images: Sequence[Tensor], device: torch.device) -> list[Detections]:
        """Detect in images.

        Args:
            model: any detector.
            images: uint8 RGB ``[3, h, w]`` each, at the size the model wants.
            device: where the model is.

        Returns:
            for each image what was found, boxes in its pixels.
        """
        detector = as_detector(model)
        batch, sizes = pad_to_batch(images)
        output = detector(self.images({"images": batch.to(device)}))
        return detector.detect(output, sizes.to(device))
