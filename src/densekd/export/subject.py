"""What is exported and what it is measured by: module, signature, and the data that it is scored on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from densekd.data.contract import Files
from densekd.data.detection import DetectionFiles
from densekd.data.transforms import MEAN_COLOR
from densekd.export.detectors import Decoding, RawMaps, decoded, decoding_of
from densekd.export.modules import ExportModule
from densekd.export.runner import GraphModel, Run, run_pictures
from densekd.export.spec import GraphInput, GraphOutput
from densekd.models import contract
from densekd.models.open import Opened
from densekd.ops.boxes import Detections
from densekd.tasks.common import to_float
from densekd.tasks.detection.metric import BoxMetric
from densekd.tasks.protocol import Scores, Task


@dataclass(frozen=True)
class Subject:
    """A model on its way out.

    Args:
        name: what the user called it.
        opened: the model with its classes.
        module: what is exported.
        input: the picture.
        outputs: the arrays.
        kind: name of the output.
        task: what scores it.
        files: validation images; None where there are none.
        unscored: why there are none.
    """

    name: Path
    opened: Opened
    module: ExportModule
    input: GraphInput
    outputs: tuple[GraphOutput, ...]
    kind: str
    task: Task
    files: Files | None
    unscored: str = ""

    @property
    def task_name(self) -> str:
        """Name of the task."""
        return self.opened.config.task

    @property
    def decoding(self) -> Decoding | None:
        """How boxes become detections; None of other tasks, and of raw maps."""
        if self.kind != "boxes":
            return None
        image = torch.zeros(1, self.input.bands, *self.input.size)
        return decoding_of(self.module.model, image)

    @property
    def align_corners(self) -> bool:
        """How the maps of the graph are enlarged by whoever reads them."""
        # What the graph enlarges is at its input's size already.
        return self.kind == "logits" and contract.align_corners(self.opened.model)

    @property
    def is_set(self) -> bool:
        """Whether the outputs are those of queries, whose order means nothing."""
        finish = self.module.finish
        return bool(getattr(finish, "is_set", False))

    def scores(self, run: Run) -> Scores:
        """Score a graph on all validation images, by the task's own metrics."""
        assert self.files is not None
        if self.task_name == "detection":
            return self._box_scores(run)
        classes = len(self.opened.classes.names)
        model = GraphModel(run, self.input, self.kind, classes, self.align_corners)
        return self.task.scores(model, self.files, self.input.size)

    def _box_scores(self, run: Run) -> Scores:
        assert isinstance(self.files, DetectionFiles)
        metric = BoxMetric(len(self.files.classes.names))
        decoding = self.decoding
        for index, item in enumerate(self.files.items):
            image, size = letterbox(self.files.image(index), self.input.size)
            outputs = run_pictures(run, self.input, to_float(image)[None])
            (found,) = self._detections(outputs, decoding, torch.tensor([size]))
            height, width = item.size
            factors = torch.tensor([width / size[1], height / size[0]] * 2)
            metric.update(item, found._replace(boxes=found.boxes * factors))
        scores: dict[str, Any] = metric.compute()
        for key in ("ap_by_class", "ap50_by_class"):
            scores[key] = dict(zip(self.files.classes.names, scores[key], strict=True))
        return scores

    def _detections(self, outputs: list[Tensor], decoding: Decoding | None, sizes: Tensor) -> list[Detections]:
        """Read the outputs of one picture."""
        if decoding is None:
            finish = self.module.finish
            assert isinstance(finish, RawMaps)
            detector: Any = self.module.model
            found: list[Detections] = detector.detect(finish.rebuilt(outputs, self.input.size), sizes)
            return found
        boxes, scores = outputs
        return [decoded(boxes[0], scores[0], decoding, sizes[0])]

    def pictures(self, count: int) -> Tensor:
        """Return the first validation pictures as float RGB ``[N, 3, H, W]`` of the input's size."""
        assert self.files is not None
        images = []
        for index in range(min(count, len(self.files))):
            images.append(self.fitted(self.files.image(index)))
        return to_float(torch.stack(images))

    def fitted(self, pixels: Any) -> Tensor:
        """Bring a decoded picture uint8 ``[H, W, C]`` to the input's size as its evaluation does, ``[C, H, W]``."""
        if self.task_name == "detection":
            return letterbox(pixels, self.input.size)[0]
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)
        resized: Tensor = functional.resize(tensor, list(self.input.size), antialias=True)
        return resized


def letterbox(image: Any, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Fit a picture into a size with its aspect ratio kept, and pad it at the right and bottom.

    Args:
        image: decoded, uint8 ``[H, W, 3]``.
        size: height and width of the result.

    Returns:
        uint8 ``[3, *size]``, padded with the mean color, and the size of the picture in it.
    """
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    height, width = tensor.shape[1:]
    factor = min(size[0] / height, size[1] / width)
    inner = (min(size[0], max(1, round(height * factor))), min(size[1], max(1, round(width * factor))))
    color = torch.zeros(len(tensor), dtype=torch.uint8)
    if len(tensor) == len(MEAN_COLOR):
        color = torch.tensor(MEAN_COLOR, dtype=torch.uint8)
    canvas = color[:, None, None].repeat(1, *size)
    canvas[:, : inner[0], : inner[1]] = functional.resize(tensor, list(inner), antialias=True)
    return canvas, inner
