"""A task from outside: how warm is each pixel. It is copied beside a recipe, as a user's own module would lie there.

Nothing in densekd knows it. The heat of a pixel is its red channel, so the data needs images alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from densekd.data.classes import Classes
from densekd.data.contract import Labels
from densekd.data.facts import Facts, image_facts
from densekd.data.files import find, read_image
from densekd.data.found import Item
from densekd.data.maps import EvaluationSet, TrainingSet
from densekd.data.transforms import RandomScaledCrop
from densekd.metric_names import MetricName, MetricNames
from densekd.models.package import PackageConfig
from densekd.tasks.common import (
    after_crop,
    device_of,
    images_at,
    parameter_count,
    sample_path,
    save_picture,
    to_float,
    upsample,
)
from densekd.tasks.protocol import Augmentation, Figure

NAME = "heat_task:Heat"


@dataclass(frozen=True)
class HeatFiles:
    """Images whose red channel is what has to be predicted."""

    task = NAME
    holds = "heat maps"
    classes = Classes(("heat",), ((255, 0, 0),))
    categories = ()
    labels = "present"

    items: tuple[Item, ...]

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int) -> np.ndarray:
        return read_image(self.items[index].image)

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = self.image(index)
        return image, image[..., 0].astype(np.float32) / 255

    def join(self, others: "Sequence[HeatFiles]") -> "HeatFiles":
        return replace(self, items=self.items + tuple(item for other in others for item in other.items))


def heat(root: Path, split: str) -> HeatFiles:
    """Find the images of a split."""
    found = find(root / "images" / split, (".png",))
    return HeatFiles(tuple(Item(stem, path, path) for stem, path in found.items()))


@dataclass(frozen=True)
class HeatEvaluation:
    """How heat is scored: the mean error to some power."""

    power: float = 1.0


class HeatMetric(nn.Module):
    """Mean error of the pixels."""

    sums: Tensor

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power
        self.register_buffer("sums", torch.zeros(2, dtype=torch.float64), persistent=False)

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        error = (predicted - truth).abs() ** self.power
        self.sums += torch.stack([error.double().sum(), torch.tensor(float(error.numel()), dtype=torch.float64)])

    def reset(self) -> None:
        self.sums.zero_()

    def gather(self) -> None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.sums)

    def compute(self) -> dict[str, Any]:
        total, count = self.sums.tolist()
        return {"error": total / count if count else None}


@dataclass(frozen=True)
class HeatPredictor:
    """Write heat maps as gray pictures."""

    model: nn.Module
    writes = ("heat",)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].to(device_of(self.model))
        with torch.no_grad():
            predicted = upsample(self.model, self.model.eval()(to_float(pixels)), image.shape[:2])
        return predicted[0, 0].clamp(0, 1).cpu().numpy()

    def drawn(self, image: np.ndarray) -> Image.Image:
        return as_picture(self(image))

    def predict_folder(self, images: Path, out: Path, resume: bool = False) -> int:
        found = images_at(images)
        for stem, path in found.items():
            save_picture(as_picture(self(read_image(path))), out / "heat" / f"{stem}.png")
        return len(found)

    def write_submission(self, images: Path, out: Path, benchmark: str) -> int:
        raise NotImplementedError


class Heat(nn.Module):
    """Predict how warm each pixel is.

    Args:
        margin: errors up to it cost nothing.
    """

    files_type = HeatFiles
    evaluation_options = HeatEvaluation
    keeps_aspect_ratio = False
    metrics = MetricNames((MetricName("error", "heat error", "K", "lower", 3),), ("error",), pictures="photographs")
    chance = None

    def __init__(self, margin: float = 0.0, evaluation: HeatEvaluation | None = None) -> None:
        super().__init__()
        self.margin = margin
        self.evaluation = evaluation or HeatEvaluation()

    @staticmethod
    def counted(files: HeatFiles) -> dict[str, tuple[str, ...]]:
        return {"pixels": ("cold", "warm")}

    @staticmethod
    def look(files: HeatFiles) -> Facts:
        image, heat = files.pair(0)
        warm = int((heat > 0.5).sum())
        return image_facts((files.items[0].image,), image.shape[:2], (np.array([heat.size - warm, warm]),))

    @staticmethod
    def folder(root: Path, split: str, package: PackageConfig) -> HeatFiles:
        return heat(root, split)

    @property
    def package_options(self) -> dict[str, Any]:
        return {"margin": self.margin}

    def training_set(self, files: HeatFiles, views: Augmentation) -> TrainingSet:
        assert views.crop is not None
        crop = RandomScaledCrop(views.crop, 1.0, 0, views.scale)
        augment = v2.Compose([crop, *after_crop(views)])
        return TrainingSet(files, views.resize, augment, views.seed, views.cache_bytes)

    def evaluation_set(self, files: HeatFiles, resize: Any) -> EvaluationSet:
        return EvaluationSet(files, resize)

    def probe_target(self, size: tuple[int, int], labels: Labels) -> Tensor:
        return torch.rand(1, *size)

    def student_taps(self, student: nn.Module) -> list[str]:
        return []

    def images(self, batch: Mapping[str, Any]) -> Tensor:
        return to_float(batch["images"])

    def target(self, batch: Mapping[str, Any]) -> Tensor:
        return batch["target"]

    def losses(self, student: nn.Module, output: Tensor, features: Mapping[str, Tensor], target: Tensor) -> Any:
        error = (upsample(student, output, target.shape[-2:])[:, 0] - target).abs()
        return {"heat": (error - self.margin).clamp(min=0).mean()}

    def metric(self) -> HeatMetric:
        return HeatMetric(self.evaluation.power)

    def evaluate(self, model: nn.Module, samples: Sequence[Any], metric: HeatMetric) -> None:
        for image, truth in samples:
            output = model(to_float(image[None].to(device_of(model))))
            metric.update(upsample(model, output, truth.shape)[0, 0].cpu(), truth)

    def fits(self, model: nn.Module, images: Tensor) -> bool:
        return model(images).shape[1] == 1

    @torch.no_grad()
    def scores(self, model: nn.Module, files: HeatFiles, resize: Any, workers: int = 0) -> dict[str, Any]:
        metric, samples = self.metric(), self.evaluation_set(files, resize)
        self.evaluate(model.eval(), [samples[k] for k in range(len(samples))], metric)
        return {**metric.compute(), "images": len(files), "parameters": parameter_count(model)}

    def agreement(self, student: nn.Module, teacher: nn.Module, files: HeatFiles, resize: Any) -> dict[str, Any]:
        return {}

    def figures(self, scores: dict[str, Any], files: HeatFiles) -> list[Figure]:
        return [Figure("warmth", "How warm it is", "a drawing", '<svg xmlns="http://www.w3.org/2000/svg"/>')]

    def legend(self, files: HeatFiles) -> dict[str, tuple[int, int, int]]:
        return {"warm": (255, 255, 255)}

    def predictor(self, model: nn.Module, package: PackageConfig) -> HeatPredictor:
        return HeatPredictor(model)

    def sample_pictures(self, predictors: Mapping[str, Any], files: HeatFiles, out: Path, indices: Any) -> None:
        for index in indices:
            image, truth = files.pair(index)
            save_picture(as_picture(truth), sample_path(out, files.items[index].stem, "truth"))
            for name, predict in predictors.items():
                save_picture(as_picture(predict(image)), sample_path(out, files.items[index].stem, name))


def as_picture(heat: np.ndarray) -> Image.Image:
    """Draw heat in gray."""
    return Image.fromarray((255 * heat).round().astype(np.uint8))
