"""Object detection as a task: the detector's own losses, boxes at original size, COCO's average precision."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from densekd.data.contract import Files, Labels
from densekd.data.detection import (
    DetectionEvaluationSet,
    DetectionFiles,
    DetectionItem,
    DetectionTrainingSet,
    EvaluationSample,
)
from densekd.data.facts import Facts
from densekd.data.maps import Resize
from densekd.data.transforms import ResizeKeepRatio
from densekd.errors import RecipeError, UserError
from densekd.metric_names import MetricNames
from densekd.models.contract import as_detector, is_detector, num_classes
from densekd.models.package import PackageConfig
from densekd.ops.boxes import Boxes, Detections
from densekd.tasks.common import after_crop, device_of, to_float
from densekd.tasks.detection import check, evaluation, pixel_groups, prediction
from densekd.tasks.detection.evaluation import DetectionEvaluation
from densekd.tasks.detection.metric import BoxMetric
from densekd.tasks.detection.metric_names import METRICS
from densekd.tasks.detection.prediction import BoxPredictor
from densekd.tasks.findings import Finding
from densekd.tasks.pixel_groups import PixelGroups
from densekd.tasks.protocol import Augmentation, Batch, Color, Figure, Scores
from densekd.tasks.together import Compared, Loading


class Detection(nn.Module):
    """Detect objects: the model brings its loss and its decoding.

    Args:
        num_classes: C; supplied by the build.
        evaluation: how detectors are scored; supplied by the build.
    """

    files_type: ClassVar[type[Files]] = DetectionFiles
    evaluation_options: ClassVar[type] = DetectionEvaluation
    keeps_aspect_ratio: ClassVar[bool] = True
    metrics: ClassVar[MetricNames] = METRICS

    def __init__(self, num_classes: int, evaluation: DetectionEvaluation | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.evaluation = evaluation or DetectionEvaluation()

    # Files: how a data check and an evaluation read them.

    @staticmethod
    def folder(root: Path, split: str, package: PackageConfig) -> DetectionFiles:
        """Refuse: boxes have no plain layout of their own.

        Raises:
            UserError: always.
        """
        wanted = "give a recipe, whose data section says in which"
        raise UserError(f"{root}: boxes are written in many ways; {wanted}.")

    @staticmethod
    def counted(files: DetectionFiles) -> dict[str, tuple[str, ...]]:
        """Name what a data check counts: boxes."""
        return check.counted(files)

    @staticmethod
    def look(files: DetectionFiles) -> Facts:
        """Read the one image of these files with its boxes.

        See :func:`densekd.tasks.detection.check.look`.
        """
        return check.look(files)

    @staticmethod
    def findings(files: DetectionFiles, facts: Sequence[Facts]) -> list[Finding]:
        """Judge a split; see :func:`densekd.tasks.detection.check.findings`."""
        return check.findings(files, facts)

    @property
    def chance(self) -> float:
        """One percent: a detector that guesses finds next to nothing."""
        return 1.0

    @property
    def package_options(self) -> dict[str, Any]:
        """Nothing: boxes are boxes."""
        return {}

    # Data: what a training and an evaluation read, and what losses are tried on.

    def training_set(self, files: DetectionFiles, views: Augmentation) -> DetectionTrainingSet:
        """Return images resized within limits that are drawn, with the aspect ratio kept.

        Raises:
            RecipeError: a size of random crops.
        """
        if views.crop is not None:
            own = "detection has augment.short_side"
            raise RecipeError(f"augment.crop cuts images for segmentation; {own}.")
        transforms = after_crop(views)
        resize = views.resize
        if views.short_side is not None:
            # The drawn limits replace those that every image would be brought to.
            longer = None
            if resize is not None and len(resize) == 2:
                longer = resize[1]
            transforms.insert(0, ResizeKeepRatio(views.short_side, longer))
            resize = None
        return DetectionTrainingSet(files, resize, v2.Compose(transforms), views.seed, views.cache_bytes)

    def evaluation_set(self, files: DetectionFiles, resize: Resize | None) -> DetectionEvaluationSet:
        """Return whole images with their annotations."""
        return DetectionEvaluationSet(files, resize)

    def probe_target(self, size: tuple[int, int], labels: Labels) -> Boxes:
        """Return one box of class 0 in the middle of one image."""
        # Half as wide and high as the image, so that levels of several strides see it.
        height, width = size
        middle = torch.tensor([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]])
        return Boxes([middle], [torch.zeros(1, dtype=torch.int64)], torch.tensor([size]))

    # Step: a batch becomes images, a target and the student's own losses.

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return nothing: the loss reads the output alone.

        Raises:
            UserError: a student that is no detector.
        """
        as_detector(student)
        return []

    def images(self, batch: Batch) -> Tensor:
        """Return what a model takes: float in [0, 1], ``[B, 3, H, W]``."""
        return to_float(batch["images"])

    def target(self, batch: Batch) -> Boxes:
        """Return the boxes of the batch."""
        return Boxes(batch["boxes"], batch["labels"], batch["sizes"])

    def losses(
        self, student: nn.Module, output: Any, student_features: Mapping[str, Tensor], target: Boxes
    ) -> dict[str, Tensor]:
        """Return the weighted summands of the student's own loss."""
        return as_detector(student).losses(output, target)

    # Validation: scores while a student learns.

    def metric(self) -> BoxMetric:
        """Return a new accumulator for :meth:`evaluate`."""
        return BoxMetric(self.num_classes)

    def evaluate(self, model: nn.Module, samples: Sequence[EvaluationSample], metric: BoxMetric) -> None:
        """Add samples of any size to ``metric``."""
        for item, found in self.predictions(model, samples, device_of(model)):
            metric.update(item, found)

    def fits(self, model: nn.Module, images: Tensor) -> bool:
        """Say whether a model can be scored: it detects, and as many classes."""
        return is_detector(model) and num_classes(model) in (None, self.num_classes)

    def predictions(
        self, model: nn.Module, samples: Sequence[EvaluationSample], device: torch.device
    ) -> Iterator[tuple[DetectionItem, Detections]]:
        """Detect in samples; see :func:`densekd.tasks.detection.evaluation.predictions`."""
        return evaluation.predictions(model, samples, device)

    # Finished models: scores, comparison, drawings, predictions.

    def scores(
        self, model: nn.Module, files: DetectionFiles, resize: Resize | None, workers: int = 0, batch: int = 8
    ) -> Scores:
        """Score a detector; see :func:`densekd.tasks.detection.evaluation.evaluate_boxes`."""
        return evaluation.evaluate_boxes(model, files, resize, Loading(workers, batch))

    def compared(
        self,
        models: Mapping[str, nn.Module],
        files: DetectionFiles,
        resize: Resize | None,
        loading: Loading,
        kept: Sequence[int] = (),
    ) -> Compared:
        """Score several detectors in one pass; see :func:`densekd.tasks.detection.evaluation.compare_boxes`."""
        return evaluation.compare_boxes(models, files, resize, loading, kept)

    def agreement(self, student: nn.Module, teacher: nn.Module, files: DetectionFiles, resize: Resize | None) -> Scores:
        """Return nothing: no pixel has a class here."""
        return {}

    def figures(self, scores: Scores, files: DetectionFiles) -> list[Figure]:
        """Return nothing."""
        return []

    def legend(self, files: DetectionFiles) -> dict[str, Color]:
        """Return the colors of the classes."""
        return dict(zip(files.classes.names, files.classes.palette, strict=True))

    def pixel_groups(self, files: DetectionFiles, indices: Sequence[int], resize: Resize | None) -> PixelGroups:
        """Group pixels by the class of the smallest box over them.

        See :func:`densekd.tasks.detection.pixel_groups.box_groups`.
        """
        return pixel_groups.box_groups(files, indices, resize)

    def predictor(self, model: nn.Module, package: PackageConfig) -> BoxPredictor:
        """Return what finds boxes in pictures."""
        categories = package.categories or tuple(range(1, len(package.classes) + 1))
        return BoxPredictor(model, package.labels, categories, package.resize, bands=package.bands)

    def sample_pictures(
        self, predictors: Mapping[str, BoxPredictor], files: DetectionFiles, out: Path, indices: Sequence[int]
    ) -> None:
        """Draw what is there and what was found, with the mistakes, on some images."""
        prediction.box_samples(predictors, files, out, indices)

    def draw_samples(self, predicted: Mapping[str, Sequence[Any]], files: DetectionFiles, out: Path) -> None:
        """Draw the same pictures from boxes that were found before."""
        prediction.draw_box_samples(predicted, files, out)
