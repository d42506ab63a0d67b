"""Semantic segmentation as a task: cross-entropy, whole images predicted, mean IoU."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from densekd.data.contract import Files, Labels
from densekd.data.facts import Facts
from densekd.data.files import SegmentationFiles
from densekd.data.maps import EvaluationSet, Resize, Sample, TrainingSet
from densekd.errors import RecipeError
from densekd.kernels import resized_cross_entropy
from densekd.metric_names import MetricNames
from densekd.models import contract
from densekd.models.package import PackageConfig
from densekd.ops.processes import mean_over_processes
from densekd.ops.ranges import NonNegative
from densekd.tasks.common import random_crops, to_float
from densekd.tasks.findings import Finding
from densekd.tasks.pixel_groups import PixelGroups
from densekd.tasks.protocol import Augmentation, Batch, Color, Figure, Scores
from densekd.tasks.segmentation import check, evaluation, pixel_groups, prediction
from densekd.tasks.segmentation.class_weights import balanced_weights, class_frequency
from densekd.tasks.segmentation.confusion import ConfusionMatrix
from densekd.tasks.segmentation.confusion_picture import confusion_picture
from densekd.tasks.segmentation.evaluation import SegmentationEvaluation
from densekd.tasks.segmentation.inference import Prediction
from densekd.tasks.segmentation.logits import checked_logits
from densekd.tasks.segmentation.metric_names import METRICS
from densekd.tasks.segmentation.prediction import LabelPredictor
from densekd.tasks.segmentation.whole_images import WholeImages
from densekd.tasks.together import Compared, Loading

Normalize = Literal["valid", "all"]
ClassWeights = Literal["none", "balanced"] | tuple[NonNegative, ...]


class Segmentation(nn.Module):
    """Semantic segmentation: cross-entropy on enlarged logits, an auxiliary head, mean IoU.

    Args:
        num_classes: C; supplied by the build.
        ignore_index: label of void pixels; supplied by the build.
        class_weights: factors of the cross-entropy: ``none``; ``balanced``, 1 / log(1.02 +
            frequency) with mean 1; or C numbers. The mean is weighted too, as torch's is.
        auxiliary_weight: factor of the auxiliary head's cross-entropy, for students that have one.
        normalize: the cross-entropy's divisor: the (weighted) number of ``valid`` pixels, those
            that are not void (TorchDistiller, CIRKD, HWD), or of ``all`` pixels, unweighted (the
            mmsegmentation family, SegDistill).
        evaluation: how whole images are predicted and scored; supplied by the build.
        files: of the training split, on whose labels balanced weights are counted; supplied by the
            build.

    Raises:
        ValueError: class weights that are not as many as the classes, or balanced ones without
            files.
    """

    files_type: ClassVar[type[Files]] = SegmentationFiles
    evaluation_options: ClassVar[type] = SegmentationEvaluation
    keeps_aspect_ratio: ClassVar[bool] = False
    metrics: ClassVar[MetricNames] = METRICS
    class_weights: Tensor | None

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        class_weights: ClassWeights = "none",
        auxiliary_weight: NonNegative = 0.4,
        normalize: Normalize = "valid",
        evaluation: SegmentationEvaluation | None = None,
        files: SegmentationFiles | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.auxiliary_weight = auxiliary_weight
        self.normalize = normalize
        self.evaluation = evaluation or SegmentationEvaluation()
        self.whole_images = WholeImages(num_classes, self.evaluation.inference)
        weights = _class_weights(class_weights, num_classes, files)
        self.register_buffer("class_weights", weights, persistent=False)

    # Files: how a data check and an evaluation read them.

    @staticmethod
    def folder(root: Path, split: str, package: PackageConfig) -> SegmentationFiles:
        """Find the files of a data folder.

        See :func:`densekd.tasks.segmentation.prediction.labelled_folder`.
        """
        return prediction.labelled_folder(root, split, package)

    @staticmethod
    def counted(files: SegmentationFiles) -> dict[str, tuple[str, ...]]:
        """Name what a data check counts: pixels of each class."""
        return check.counted(files)

    @staticmethod
    def look(files: SegmentationFiles) -> Facts:
        """Read the one image of these files with its label.

        See :func:`densekd.tasks.segmentation.check.look`.
        """
        return check.look(files)

    @staticmethod
    def findings(files: SegmentationFiles, facts: Sequence[Facts]) -> list[Finding]:
        """Judge a split by a sample; see :func:`densekd.tasks.segmentation.check.findings`."""
        return check.findings(files, facts)

    @property
    def chance(self) -> float:
        """The mIoU in percent of a uniform guess over C equally frequent classes: ``100 / (2 C - 1)``.

        Of the pixels of a class a share 1 / C is hit, and the guess covers as many pixels of
        others: ``IoU = (1 / C) / (1 + 1 - 1 / C)``.
        """
        return 100 / (2 * self.num_classes - 1)

    @property
    def package_options(self) -> dict[str, Any]:
        """Nothing: labels are labels, whatever the loss was."""
        return {}

    # Data: what a training and an evaluation read, and what losses are tried on.

    def training_set(self, files: SegmentationFiles, views: Augmentation) -> TrainingSet:
        """Return random crops of randomly scaled images.

        Raises:
            RecipeError: no size of the crops.
        """
        if views.crop is None:
            example = "say height and width of the random crops, for instance [512, 512]"
            raise RecipeError(f"augment.crop: missing; {example}.")
        if views.short_side is not None:
            own = "segmentation has augment.crop and augment.scale"
            raise RecipeError(f"augment.short_side is for detection; {own}.")
        augment = random_crops(views, views.max_class_share, self.ignore_index)
        return TrainingSet(files, views.resize, augment, views.seed, views.cache_bytes)

    def evaluation_set(self, files: SegmentationFiles, resize: Resize | None) -> EvaluationSet:
        """Return whole images with their labels."""
        return EvaluationSet(files, resize)

    def probe_target(self, size: tuple[int, int], labels: Labels) -> Tensor:
        """Return labels of class 0 ``[1, H, W]``; without labels, void."""
        value = 0 if labels == "present" else self.ignore_index
        return torch.full((1, *size), value)

    # Step: a batch becomes images, a target and the student's own losses.

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return the tap of the auxiliary head, where there is one and it counts."""
        if "aux" in contract.taps(student) and self.auxiliary_weight:
            return ["aux"]
        return []

    def images(self, batch: Batch) -> Tensor:
        """Return what a model takes: float in [0, 1], ``[B, 3, H, W]``."""
        return to_float(batch["images"])

    def target(self, batch: Batch) -> Tensor:
        """Return the labels ``[B, H, W]`` as int64."""
        labels: Tensor = batch["target"].long()
        return labels

    def losses(
        self, student: nn.Module, output: Tensor, student_features: Mapping[str, Tensor], target: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted summands of the task's loss.

        Args:
            student: for its ``align_corners``.
            output: its logits ``[B, C, h, w]``.
            student_features: its taps.
            target: labels ``[B, H, W]``.
        """
        losses = {"ce": self._cross_entropy(student, output, target)}
        if "aux" in student_features and self.auxiliary_weight:
            auxiliary = self._cross_entropy(student, student_features["aux"], target)
            losses["aux"] = self.auxiliary_weight * auxiliary
        return losses

    # Validation: scores while a student learns.

    def metric(self) -> ConfusionMatrix:
        """Return a new accumulator for :meth:`evaluate`."""
        return ConfusionMatrix(self.num_classes, self.ignore_index)

    def evaluate(self, model: nn.Module, samples: Sequence[Sample], metric: ConfusionMatrix) -> None:
        """Add samples ``(image uint8 [3, H, W], label [H', W'])`` of any size to ``metric``."""
        for predicted, labels in self.whole_images.classes(model, samples, metric.counts.device):
            metric.update(predicted, labels)

    def fits(self, model: nn.Module, images: Tensor) -> bool:
        """Return True where a model's output for float images ``[B, 3, H, W]`` are C logits."""
        output = model(images)
        return isinstance(output, Tensor) and output.shape[1] == self.num_classes

    def predict(self, model: nn.Module, images: Tensor, size: tuple[int, int]) -> Prediction:
        """Predict whole images; see :meth:`WholeImages.predict`."""
        return self.whole_images.predict(model, images, size)

    def predictions(
        self, model: nn.Module, samples: Sequence[Sample], device: torch.device
    ) -> Iterator[tuple[Prediction, Tensor]]:
        """Predict samples; see :meth:`WholeImages.predictions`."""
        return self.whole_images.predictions(model, samples, device)

    # Finished models: scores, comparison, drawings, predictions.

    def scores(
        self, model: nn.Module, files: SegmentationFiles, resize: Resize | None, workers: int = 0, batch: int = 8
    ) -> Scores:
        """Score a model on whole images.

        See :func:`densekd.tasks.segmentation.evaluation.evaluate_labels`.
        """
        return evaluation.evaluate_labels(model, files, resize, self.evaluation, Loading(workers, batch))

    def compared(
        self,
        models: Mapping[str, nn.Module],
        files: SegmentationFiles,
        resize: Resize | None,
        loading: Loading,
        kept: Sequence[int] = (),
    ) -> Compared:
        """Score several models in one pass.

        See :func:`densekd.tasks.segmentation.evaluation.compare_labels`.
        """
        return evaluation.compare_labels(models, files, resize, self.evaluation, loading, kept)

    def agreement(
        self, student: nn.Module, teacher: nn.Module, files: SegmentationFiles, resize: Resize | None
    ) -> Scores:
        """Compare two models pixel by pixel.

        See :func:`densekd.tasks.segmentation.evaluation.label_agreement`.
        """
        return evaluation.label_agreement(student, teacher, files, resize, self.evaluation.inference)

    def figures(self, scores: Scores, files: SegmentationFiles) -> list[Figure]:
        """Draw the confusion matrix."""
        return [confusion_picture(scores["confusion"], files.classes)]

    def legend(self, files: SegmentationFiles) -> dict[str, Color]:
        """Return the colors of the classes."""
        return dict(zip(files.classes.names, files.classes.palette, strict=True))

    def pixel_groups(self, files: SegmentationFiles, indices: Sequence[int], resize: Resize | None) -> PixelGroups:
        """Group pixels by class.

        See :func:`densekd.tasks.segmentation.pixel_groups.class_groups`.
        """
        return pixel_groups.class_groups(files, indices, resize)

    def predictor(self, model: nn.Module, package: PackageConfig) -> LabelPredictor:
        """Return what labels pictures."""
        return LabelPredictor(model, package.labels, package.resize, self.evaluation.inference, package.bands)

    def sample_pictures(
        self, predictors: Mapping[str, LabelPredictor], files: SegmentationFiles, out: Path, indices: Sequence[int]
    ) -> None:
        """Write labels, predictions and errors of some images in colors."""
        prediction.label_samples(predictors, files, out, indices)

    def draw_samples(self, predicted: Mapping[str, Sequence[Any]], files: SegmentationFiles, out: Path) -> None:
        """Write the same pictures from class numbers ``[H, W]`` that were predicted before."""
        for index in range(len(files)):
            prediction.write_label_sample(predicted, files, index, out)

    def _cross_entropy(self, model: nn.Module, logits: Tensor, target: Tensor) -> Tensor:
        logits = checked_logits(logits, self.num_classes)
        # The kernel enlarges row by row: no logits at full resolution are ever held.
        total = resized_cross_entropy(
            logits,
            target,
            self.class_weights,
            self.ignore_index,
            contract.align_corners(model),
        )
        return total / self._normalizer(target)

    def _normalizer(self, target: Tensor) -> Tensor:
        """Return the number of pixels that count, averaged over processes."""
        valid = target != self.ignore_index
        if self.normalize == "all":
            count = torch.full((), float(target.numel()), device=target.device)
        elif self.class_weights is None:
            count = valid.sum().float()
        else:
            count = self.class_weights[target.where(valid, 0)].where(valid, 0).sum()
        # Averaged gradients of all processes are then those of one batch; without labels, 0 / tiny.
        return mean_over_processes(count).clamp(min=torch.finfo(count.dtype).tiny)


def _class_weights(choice: ClassWeights, num_classes: int, files: SegmentationFiles | None) -> Tensor | None:
    """Return the weights ``[C]`` that an option stands for."""
    if choice == "none":
        return None
    if choice == "balanced":
        if files is None:
            counted = "balanced ones are counted on training labels, and there are none"
            raise ValueError(f"class_weights: {counted}")
        return balanced_weights(class_frequency(files))
    if len(choice) != num_classes:
        raise ValueError(f"class_weights: {len(choice)} values for {num_classes} classes")
    return torch.tensor(choice, dtype=torch.float32)
