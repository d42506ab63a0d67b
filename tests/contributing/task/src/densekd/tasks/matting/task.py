"""Matting as a task: L1 loss, mean absolute error, mattes as pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from densekd.data.matting import MattingFiles, matting
from densekd.tasks.matting.metric import METRICS, MattingMetric
from densekd.tasks.matting.prediction import MattingPredictor, matting_samples, predict_alpha
from torch import Tensor, nn
from torchvision.transforms import v2

from densekd.data.contract import Files, Labels
from densekd.data.facts import Facts, image_facts
from densekd.data.loaders import evaluation_loader
from densekd.data.maps import EvaluationSet, Resize, Sample, TrainingSet
from densekd.data.transforms import RandomScaledCrop
from densekd.errors import RecipeError
from densekd.metric_names import MetricNames
from densekd.models.package import PackageConfig
from densekd.tasks.common import after_crop, device_of, parameter_count, to_float, upsample
from densekd.tasks.protocol import Augmentation, Batch, Color, Figure, Scores

_LEVELS = (0, 1, 255, 256)  # transparent, between, opaque


@dataclass(frozen=True)
class MattingEvaluation:
    """No options: mattes are compared as they are."""


class Matting(nn.Module):
    """Matting: a model with one output channel, whose sigmoid is the opacity of the foreground."""

    files_type: ClassVar[type[Files]] = MattingFiles
    evaluation_options: ClassVar[type] = MattingEvaluation
    keeps_aspect_ratio: ClassVar[bool] = False
    metrics: ClassVar[MetricNames] = METRICS
    chance: ClassVar[None] = None

    @staticmethod
    def counted(files: MattingFiles) -> dict[str, tuple[str, ...]]:
        """Name what a data check counts."""
        return {"pixels": ("transparent", "between", "opaque")}

    @staticmethod
    def look(files: MattingFiles) -> Facts:
        """Read the one image of these files with its matte, and count its pixels."""
        image, matte = files.pair(0)
        counts = [int(((matte >= low) & (matte < high)).sum()) for low, high in pairwise(_LEVELS)]
        item = files.items[0]
        return image_facts((item.image, item.label), image.shape[:2], (np.array(counts),))

    @staticmethod
    def folder(root: Path, split: str, package: PackageConfig) -> MattingFiles:
        """Find the files of a data folder in the layout of the dataset ``matting``."""
        return matting(root, split)

    @property
    def package_options(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def training_set(self, files: MattingFiles, views: Augmentation) -> TrainingSet:
        """Return random crops of randomly scaled images; what lies beyond an image is transparent."""
        if views.crop is None:
            raise RecipeError("augment.crop: missing; say height and width of the random crops.")
        crop = RandomScaledCrop(views.crop, max_class_share=1.0, ignore_index=0, scale=views.scale)
        augment = v2.Compose([crop, *after_crop(views)])
        return TrainingSet(files, views.resize, augment, views.seed, views.cache_bytes)

    def evaluation_set(self, files: MattingFiles, resize: Resize | None) -> EvaluationSet:
        """Return whole images with their mattes."""
        return EvaluationSet(files, resize)

    def probe_target(self, size: tuple[int, int], labels: Labels) -> Tensor:
        """Return one matte that is half opaque."""
        return torch.full((1, *size), 0.5)

    def student_taps(self, student: nn.Module) -> list[str]:
        """Return nothing: the loss reads the output alone."""
        return []

    def images(self, batch: Batch) -> Tensor:
        """Return what a model takes: float in [0, 1], ``[B, 3, H, W]``."""
        return to_float(batch["images"])

    def target(self, batch: Batch) -> Tensor:
        """Return the mattes ``[B, H, W]``, float32 in [0, 1]."""
        mattes: Tensor = batch["target"].float() / 255
        return mattes

    def losses(
        self, student: nn.Module, output: Tensor, student_features: Mapping[str, Tensor], target: Tensor
    ) -> dict[str, Tensor]:
        """Return the L1 distance of the mattes."""
        alpha = upsample(student, output, target.shape[-2:])[:, 0].sigmoid()
        return {"l1": (alpha - target).abs().mean()}

    def metric(self) -> MattingMetric:
        """Return a new accumulator for :meth:`evaluate`."""
        return MattingMetric()

    def evaluate(self, model: nn.Module, samples: Sequence[Sample], metric: MattingMetric) -> None:
        """Add samples ``(image uint8 [3, H, W], matte [H', W'])`` of any size to ``metric``."""
        device = device_of(model)
        for image, matte in samples:
            size = (matte.shape[0], matte.shape[1])
            alpha = predict_alpha(model, image[None].to(device), size)
            metric.update(alpha[0], matte.to(device) / 255)

    def fits(self, model: nn.Module, images: Tensor) -> bool:
        """Say whether a model's output can be scored: one channel."""
        output = model(images)
        return isinstance(output, Tensor) and output.shape[1] == 1

    @torch.no_grad()
    def scores(self, model: nn.Module, files: MattingFiles, resize: Resize | None, workers: int = 0) -> Scores:
        """Score a model on every image of ``files``."""
        metric = self.metric().to(device_of(model.eval()))
        for samples in evaluation_loader(self.evaluation_set(files, resize), 8, workers):
            self.evaluate(model, samples, metric)
        return {**metric.compute(), "images": len(files), "parameters": parameter_count(model)}

    def agreement(self, student: nn.Module, teacher: nn.Module, files: MattingFiles, resize: Resize | None) -> Scores:
        """Return nothing."""
        return {}

    def figures(self, scores: Scores, files: MattingFiles) -> list[Figure]:
        """Return nothing."""
        return []

    def legend(self, files: MattingFiles) -> dict[str, Color]:
        """Return what the levels of a matte mean."""
        return {"foreground": (255, 255, 255), "background": (0, 0, 0)}

    def predictor(self, model: nn.Module, package: PackageConfig) -> MattingPredictor:
        """Return what cuts out the foreground of pictures."""
        return MattingPredictor(model, package.resize)

    def sample_pictures(
        self, predictors: Mapping[str, MattingPredictor], files: MattingFiles, out: Path, indices: Sequence[int]
    ) -> None:
        """Write mattes, predictions and errors of some images."""
        matting_samples(predictors, files, out, indices)
