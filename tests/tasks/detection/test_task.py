"""Detection as a task: what travels, what is learnt, boxes in pixels of the original, and recipes that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from densekd.builders.build import build
from densekd.builders.data import build_files
from densekd.data.annotations import Annotations
from densekd.data.detection import DetectionItem, EvaluationSample
from densekd.data.sampler import Draw
from densekd.errors import RecipeError, UserError
from densekd.ops.boxes import Boxes, Detections
from densekd.recipe import parse_recipe
from densekd.tasks import Detection


class Corner(nn.Module):
    """Finds one box in each image: the lower right quarter of its content."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[torch.Size] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.shape)
        return images

    def losses(self, output: Tensor, target: Boxes) -> dict[str, Tensor]:
        return {"sum": output.sum() * self.weight + len(target.boxes)}

    def detect(self, output: Tensor, sizes: Tensor) -> list[Detections]:
        one, nought = torch.ones(1), torch.zeros(1, dtype=torch.int64)
        return [Detections(torch.tensor([[w / 2, h / 2, w, h]]), one, nought) for h, w in sizes.tolist()]


def sample(number: int, size: tuple[int, int], shown: tuple[int, int]) -> EvaluationSample:
    truth = Annotations(
        np.array([[size[1] / 2, size[0] / 2, size[1], size[0]]], np.float32),
        np.zeros(1, np.int64), np.zeros(1, np.bool_), np.array([size[0] * size[1] / 4]),
    )  # fmt: skip
    item = DetectionItem(str(number), Path("none.png"), number, size, truth)
    return EvaluationSample(torch.zeros(3, *shown, dtype=torch.uint8), item)


def test_boxes_come_back_to_the_original_size() -> None:
    model, task = Corner(), Detection(1)
    samples = [sample(0, (100, 200), (50, 100)), sample(1, (50, 100), (50, 100)), sample(2, (30, 30), (40, 40))]
    found = list(task.predictions(model, samples, torch.device("cpu")))
    assert [item.number for item, _ in found] == [0, 1, 2]
    assert [one.boxes[0].tolist() for _, one in found] == [[100, 50, 200, 100], [50, 25, 100, 50], [15, 15, 30, 30]]
    # Those of one size went together, padded to multiples of 32.
    assert [tuple(size) for size in model.seen] == [(2, 3, 64, 128), (1, 3, 64, 64)]
    metric = task.metric()
    task.evaluate(model, samples, metric)
    assert metric.compute()["ap"] == pytest.approx(100)


def test_what_is_no_detector_is_named() -> None:
    with pytest.raises(UserError, match="Conv2d is no detector"):
        Detection(1).losses(nn.Conv2d(3, 3, 1), None, {}, Boxes([], [], torch.zeros(0, 2)))
    assert not Detection(1).fits(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 8, 8))
    assert Detection(1).fits(Corner(), torch.rand(1, 3, 8, 8))


def test_a_step_on_images_of_any_size(detection_recipe: dict[str, Any]) -> None:
    built = build(parse_recipe(detection_recipe, "test"))
    assert isinstance(built.distiller.task, Detection)
    batch = built.training.collate([built.training[Draw(k, k)] for k in range(3)])
    assert batch["images"].dtype == torch.uint8
    assert [len(boxes) for boxes in batch["boxes"]].count(0) == 1  # one image has no boxes
    result = built.distiller.training_step(batch, 0)
    assert set(result["losses"]) == {"task/cls", "task/bbox", "task/dfl"}
    result["loss"].backward()
    assert all(p.grad is not None for p in built.distiller.parameters())


def test_a_teacher_of_the_same_classes_is_scored(detection_recipe: dict[str, Any]) -> None:
    teacher = detection_recipe["student"] | {"checkpoint": "untrained"}
    term = {"method": "cwd", "weight": 5, "student": "cls.{0,1,2,3,4}", "teacher": "cls.{0,1,2,3,4}"}
    built = build(parse_recipe(detection_recipe | {"teacher": teacher, "distill": [term]}, "test"))
    assert built.scored_teacher is not None
    assert list(built.distiller.terms) == [f"cwd-{k}" for k in range(5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"task": {"kind": "segmentation"}, "augment": {"crop": [32, 32]}},
            r"has boxes; say 'task: \{kind: detection\}'",
        ),
        (
            {"augment": {"crop": [32, 32]}},
            "augment.crop cuts images for segmentation; detection has augment.short_side",
        ),
        ({"augment": {"short_side": [64, 32]}}, "the smallest comes first"),
        ({"student": {"model": "pspnet"}}, "Segmentor is no detector"),
    ],
)
def test_recipes_that_do_not_fit(detection_recipe: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(parse_recipe(detection_recipe | change, "test"))


def test_label_maps_are_no_boxes(recipe: dict[str, Any]) -> None:
    with pytest.raises(
        RecipeError, match=r"which reads boxes, but .* has label maps; say 'task: \{kind: segmentation\}'"
    ):
        build(parse_recipe(recipe | {"task": {"kind": "detection"}}, "test"))


def test_splits_are_joined(detection_recipe: dict[str, Any]) -> None:
    data = parse_recipe(detection_recipe, "test").data
    assert len(build_files(data, "train+val")) == 2 * len(build_files(data, "train"))
