"""Several models scored in one pass: the numbers and pictures of each alone, and each image read once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from plain_scores import plain
from torch import Tensor, nn

from densekd.data.coco import coco
from densekd.data.depth import DepthFiles, depth
from densekd.data.files import SegmentationFiles
from densekd.data.folder import folder
from densekd.errors import UserError
from densekd.models.package import config_of
from densekd.ops.boxes import Boxes, Detections
from densekd.tasks.depth import Depth
from densekd.tasks.detection import Detection
from densekd.tasks.segmentation import Segmentation, SegmentationEvaluation
from densekd.tasks.together import Loading, ScoresTogether


class Maps(nn.Module):
    """A convolution at half resolution, other for every seed."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, channels, 3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.conv(images)
        return maps


class Finds(nn.Module):
    """Finds one box of either class, whose score is a matter of the seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.score = nn.Parameter(torch.rand(2))

    def forward(self, images: Tensor) -> Tensor:
        return images

    def losses(self, output: Tensor, target: Boxes) -> dict[str, Tensor]:
        return {}

    def detect(self, output: Tensor, sizes: Tensor) -> list[Detections]:
        box = torch.tensor([[2.0, 2, 30, 30], [8, 8, 60, 40]])
        return [Detections(box, self.score, torch.tensor([0, 1])) for _ in sizes]


class Case(NamedTuple):
    task: Any
    files: Any
    model: Callable[[int], nn.Module]
    # Module and name of what decodes an image.
    reads: tuple[type, str]


@pytest.fixture(params=["segmentation", "detection", "depth"])
def case(request: pytest.FixtureRequest, data_root: Path, boxes_root: Path, depth_root: Path) -> Case:
    if request.param == "segmentation":
        task = Segmentation(3, 255, evaluation=SegmentationEvaluation(boundary=0.02))
        return Case(task, folder(data_root, "val"), lambda seed: Maps(3, seed), (SegmentationFiles, "pair"))
    if request.param == "depth":
        files = depth(depth_root, "val")
        return Case(Depth(), files, lambda seed: Maps(1, seed), (DepthFiles, "pair"))
    found = coco(boxes_root, "val")
    return Case(Detection(2), found, Finds, (type(found), "image"))


def models_of(case: Case) -> dict[str, nn.Module]:
    return {"student": case.model(0), "teacher": case.model(1), "baseline": case.model(2)}


def test_numbers_are_those_of_each_model_alone(case: Case) -> None:
    models = models_of(case)
    assert isinstance(case.task, ScoresTogether)
    found = case.task.compared(models, case.files, None, Loading())
    alone = {role: case.task.scores(model, case.files, None) for role, model in models.items()}
    alone["student"] |= case.task.agreement(models["student"], models["teacher"], case.files, None)
    assert list(found.scores) == list(models)
    for role in models:
        assert plain(found.scores[role]) == plain(alone[role])
        assert list(found.scores[role]) == list(alone[role])
    assert plain(found.scores["teacher"]) != plain(found.scores["baseline"])


def test_a_student_alone_agrees_with_nobody(case: Case) -> None:
    models = {"student": case.model(0)}
    found = case.task.compared(models, case.files, None, Loading())
    assert plain(found.scores["student"]) == plain(case.task.scores(models["student"], case.files, None))


def test_each_image_is_read_once(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = case.reads
    read: list[int] = []
    original = getattr(owner, name)

    def counting(files: Any, index: int) -> Any:
        read.append(index)
        return original(files, index)

    monkeypatch.setattr(owner, name, counting)
    case.task.compared(models_of(case), case.files, None, Loading(), kept=[0, 2])
    assert sorted(read) == [0, 1, 2]


def test_pictures_are_those_of_the_predictors(case: Case, tmp_path: Path) -> None:
    models, kept = models_of(case), [0, 2]
    found = case.task.compared(models, case.files, None, Loading(), kept)
    samples = chosen(case.files, kept)
    predicted = {role: [found.predicted[role][index] for index in kept] for role in models}
    case.task.draw_samples(predicted, samples, tmp_path / "once")
    package = config_of("model", {}, case.files.classes, "task")
    predictors = {role: case.task.predictor(model, package) for role, model in models.items()}
    case.task.sample_pictures(predictors, samples, tmp_path / "each", range(2))
    once, each = contents(tmp_path / "once"), contents(tmp_path / "each")
    assert len(once) == 2 * (2 + 2 * 3)
    assert list(once) == list(each)
    for name, pixels in once.items():
        # Depths of several images together may differ from those of one in their last bit.
        assert abs(pixels - each[name]).max() <= (1 if isinstance(case.task, Depth) else 0)


def test_whose_output_is_not_finite(case: Case) -> None:
    models = models_of(case)
    for value in models["teacher"].parameters():
        nn.init.constant_(value, torch.nan)
    with pytest.raises(UserError, match=r"^The teacher: .*not finite.* Its weight"):
        case.task.compared(models, case.files, None, Loading())


def test_classes_alone_are_those_of_the_prediction() -> None:
    task = Segmentation(3, 255, evaluation=SegmentationEvaluation(flip="horizontal", scales=(0.5, 1.0)))
    for chosen_task in (Segmentation(3, 255), task):
        model, whole = Maps(3, 0).eval(), chosen_task.whole_images
        images = torch.rand(2, 3, 37, 50)
        forward = whole._forward(model)
        with torch.no_grad():
            labels = whole.inference.predict(forward, images, (37, 50), False).label
            assert torch.equal(whole.inference.classes(forward, images, (37, 50), False), labels)


def test_classes_of_logits_that_are_not_finite() -> None:
    model = Maps(3, 0).eval()
    nn.init.constant_(model.conv.bias, torch.nan)
    whole = Segmentation(3, 255).whole_images
    with torch.no_grad(), pytest.raises(UserError, match="the logits are not finite"):
        whole.inference.classes(whole._forward(model), torch.rand(1, 3, 8, 8), (8, 8), False)


def chosen(files: Any, kept: Sequence[int]) -> Any:
    return replace(files, items=tuple(files.items[index] for index in kept))


def contents(root: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(root.rglob("*.png")):
        found[path.name] = np.array(Image.open(path)).astype(int)
    return found
