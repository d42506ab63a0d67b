"""Monocular depth estimation as a task: a scale- and shift-invariant loss, AbsRel, RMSE, delta1."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from densekd.data.contract import Files, Labels
from densekd.data.depth import DepthFiles
from densekd.data.depth import depth as depth_folder
from densekd.data.facts import Facts
from densekd.data.maps import EvaluationSet, Resize, Sample, TrainingSet
from densekd.errors import RecipeError
from densekd.metric_names import MetricNames
from densekd.models.package import PackageConfig
from densekd.ops.ranges import NonNegative, PositiveInt, ProperFraction
from densekd.tasks.common import device_of, random_crops, to_float, upsample
from densekd.tasks.depth import check, evaluation, loss, pixel_groups, prediction
from densekd.tasks.depth.evaluation import DepthEvaluation, Quantity, checked_output
from densekd.tasks.depth.metric import DepthMetric
from densekd.tasks.depth.metric_names import metrics_in
from densekd.tasks.depth.pictures import LEGEND
from densekd.tasks.depth.prediction import DepthColors, DepthPredictor
from densekd.tasks.findings import Finding
from densekd.tasks.pixel_groups import PixelGroups
from densekd.tasks.protocol import Augmentation, Batch, Color, Figure, Scores
from densekd.tasks.together import Compared, Loading


class Depth(nn.Module):
    """Monocular depth: a model with one output channel, known up to scale and shift (MiDaS, arXiv 1907.01341).

    The loss is ``ssi + gradient_weight * gradient matching`` of the output, enlarged to the depth
    map's size, and the measured (inverse) depths; see :mod:`densekd.tasks.depth.loss`.

    Args:
        predicts: what the output is: ``inverse`` depths, as those of MiDaS and Depth Anything, or
            ``depth``. Teacher and student predict the same.
        align: how both maps are made comparable: by ``median`` and mean absolute deviation, with
            absolute differences (the paper's best), or by ``least_squares``, with squared ones.
        trim: share of each image's pixels with the largest differences that is left out, with
            ``median``: measurements are wrong now and then. The paper ships 0.2.
        gradient_weight: factor of the gradient matching; the paper ships 0.5.
        scales: of the gradient matching, each half as large as the one before.
        unit: of the depths, for people; the data says it where there is data.
        evaluation: how predictions are scored; supplied by the build.
        files: of the training split, for their unit; supplied by the build.
    """

    files_type: ClassVar[type[Files]] = DepthFiles
    evaluation_options: ClassVar[type] = DepthEvaluation
    keeps_aspect_ratio: ClassVar[bool] = False
    metrics: MetricNames = metrics_in("m")

    def __init__(
        self,
        predicts: Quantity = "inverse",
        align: loss.Alignment = "median",
        trim: ProperFraction = 0.2,
        gradient_weight: NonNegative = 0.5,
        scales: PositiveInt = 4,
        unit: str = "m",
        evaluation: DepthEvaluation | None = None,
        files: DepthFiles | None = None,
    ) -> None:
        super().__init__()
        self.predicts = predicts
        self.align = align
        self.trim = trim
        self.gradient_weight = gradient_weight
        self.scales = scales
        self.unit = unit
        if files is not None:
            self.unit = files.unit
        self.evaluation = evaluation or DepthEvaluation()
        self.metrics = metrics_in(self.unit)

    # Files: how a data check and an evaluation read them.

    @staticmethod
    def counted(files: DepthFiles) -> dict[str, tuple[str, ...]]:
        """Name what a data check counts: measured pixels."""
        return check.counted(files)

    @staticmethod
    def look(files: DepthFiles) -> Facts:
        """Read the one image of these files with its depth map.

        See :func:`densekd.tasks.depth.check.look`.
        """
        return check.look(files)

    @staticmethod
    def findings(files: DepthFiles, facts: Sequence[Facts]) -> list[Finding]:
        """Judge a split by a sample; see :func:`densekd.tasks.depth.check.findings`."""
        return check.findings(files, facts)

    @staticmethod
    def folder(root: Path, split: str, package: PackageConfig) -> DepthFiles:
        """Find the files of a data folder in the layout of :func:`densekd.data.depth.depth`."""
        return depth_folder(root, split)

    @property
    def chance(self) -> None:
        """Nothing: what a guess scores depends on the scenes."""
        return None

    @property
    def package_options(self) -> dict[str, Any]:
        """What the output is, and the unit of the depths it was trained on."""
        return {"predicts": self.predicts, "unit": self.unit}

    # Data: what a training and an evaluation read, and what losses are tried on.

    def training_set(self, files: DepthFiles, views: Augmentation) -> TrainingSet:
        """Return random crops of randomly scaled images.

        What lies beyond an image was not measured.

        Raises:
            RecipeError: no size of the crops.
        """
        if views.crop is None:
            example = "say height and width of the random crops, for instance [384, 384]"
            raise RecipeError(f"augment.crop: missing; {example}.")
        # Every crop is accepted: depths have no classes, one of which could fill it.
        augment = random_crops(views, max_class_share=1.0, ignore_index=0)
        return TrainingSet(files, views.resize, augment, views.seed, views.cache_bytes)

    def evaluation_set(self, files: DepthFiles, resize: Resize | None) -> EvaluationSet:
        """Return whole images with their depth maps."""
        return EvaluationSet(files, resize)

    def probe_target(self, size: tuple[int, int], labels: Labels) -> Tensor:
        """Return depths ``[1, H, W]`` that grow from row to row; without labels, 0."""
        height, width = size
        if labels == "absent":
            return torch.zeros(1, height, width)
        rows = torch.linspace(1, 10, height)
        return rows[None, :, None].expand(1, height, width).contiguous()

    # Step: a batch becomes images, a target and the student's own losses.

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return nothing: the loss reads the output alone."""
        return []

    def images(self, batch: Batch) -> Tensor:
        """Return what a model takes: float in [0, 1], ``[B, 3, H, W]``."""
        return to_float(batch["images"])

    def target(self, batch: Batch) -> Tensor:
        """Return the depths ``[B, H, W]``, float32, 0 where nothing was measured."""
        depths: Tensor = batch["target"].float()
        return depths

    def losses(
        self, student: nn.Module, output: Tensor, student_features: Mapping[str, Tensor], target: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss up to scale and shift, and the weighted gradient matching.

        Args:
            student: for its ``align_corners``.
            output: ``[B, 1, h, w]``.
            student_features: not read.
            target: depths ``[B, H, W]``, 0 where nothing was measured.
        """
        # Compared at the size of the depth map, in the quantity that is predicted.
        predicted = upsample(student, checked_output(output), target.shape[-2:])[:, 0]
        valid = target > 0
        truth = target
        if self.predicts == "inverse":
            truth = torch.where(valid, 1 / target.where(valid, torch.ones_like(target)), 0)
        # Sorting, sums over a map and divisions need more than the eight bits of half precision.
        with torch.autocast(predicted.device.type, enabled=False):
            residual = loss.residuals(predicted, truth, valid, self.align)
            losses = {"ssi": loss.data_term(residual, valid, self.align, self.trim)}
            if self.gradient_weight:
                gradient = loss.gradient_term(residual, valid, self.scales)
                losses["gradient"] = self.gradient_weight * gradient
        return losses

    # Validation: scores while a student learns.

    def metric(self) -> DepthMetric:
        """Return a new accumulator for :meth:`evaluate`."""
        return DepthMetric()

    def evaluate(self, model: nn.Module, samples: Sequence[Sample], metric: DepthMetric) -> None:
        """Add samples ``(image uint8 [3, H, W], depth [H', W'])`` of any size to ``metric``."""
        for predicted, truth in evaluation.predictions(model, samples, device_of(model)):
            truth = evaluation.scored_truth(truth, self.evaluation)
            depth = evaluation.to_depth(predicted, truth, self.predicts, self.evaluation)
            metric.update(depth, truth)

    def fits(self, model: nn.Module, images: Tensor) -> bool:
        """Say whether a model's output for float images ``[B, 3, H, W]`` can be scored: one map."""
        output = model(images)
        return isinstance(output, Tensor) and output.ndim == 4 and output.shape[1] == 1

    # Finished models: scores, comparison, drawings, predictions.

    def scores(
        self, model: nn.Module, files: DepthFiles, resize: Resize | None, workers: int = 0, batch: int = 8
    ) -> Scores:
        """Score a model; see :func:`densekd.tasks.depth.evaluation.evaluate_depth`."""
        loading = Loading(workers, batch)
        return evaluation.evaluate_depth(model, files, resize, self.predicts, self.evaluation, loading)

    def compared(
        self,
        models: Mapping[str, nn.Module],
        files: DepthFiles,
        resize: Resize | None,
        loading: Loading,
        kept: Sequence[int] = (),
    ) -> Compared:
        """Score several models in one pass; see :func:`densekd.tasks.depth.evaluation.compare_depth`."""
        scored = (self.predicts, self.evaluation)
        return evaluation.compare_depth(models, files, resize, scored, loading, kept)

    def agreement(self, student: nn.Module, teacher: nn.Module, files: DepthFiles, resize: Resize | None) -> Scores:
        """Compare two models' maps; see :func:`densekd.tasks.depth.evaluation.map_correlation`."""
        return evaluation.map_correlation(student, teacher, files, resize)

    def figures(self, scores: Scores, files: DepthFiles) -> list[Figure]:
        """Return nothing."""
        return []

    def legend(self, files: DepthFiles) -> dict[str, Color]:
        """Return what the colors of the maps mean."""
        return dict(LEGEND)

    def pixel_groups(self, files: DepthFiles, indices: Sequence[int], resize: Resize | None) -> PixelGroups:
        """Group pixels by ranges of depth.

        See :func:`densekd.tasks.depth.pixel_groups.depth_groups`.
        """
        return pixel_groups.depth_groups(files, indices, resize)

    def predictor(self, model: nn.Module, package: PackageConfig) -> DepthPredictor:
        """Return what estimates the depths of pictures."""
        return DepthPredictor(model, self.predicts, package.resize, self.evaluation, package.bands)

    def sample_pictures(
        self, predictors: Mapping[str, DepthPredictor], files: DepthFiles, out: Path, indices: Sequence[int]
    ) -> None:
        """Write depths, predictions and errors of some images in color."""
        prediction.depth_samples(predictors, files, out, indices)

    def draw_samples(self, predicted: Mapping[str, Sequence[Any]], files: DepthFiles, out: Path) -> None:
        """Write the same pictures from maps ``[H, W]`` that were predicted before."""
        colored = DepthColors(self.predicts, self.evaluation)
        for index in range(len(files)):
            found = {name: maps[index] for name, maps in predicted.items()}
            prediction.write_depth_sample(files, index, found, colored, out)
