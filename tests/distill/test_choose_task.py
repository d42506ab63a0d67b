"""Which task a distillation has where nobody says it."""

import pytest
import torch
from torch import Tensor, nn

from densekd.distill.choose_task import choose_task, logit_channels
from densekd.errors import RecipeError, UserError
from densekd.models import MODELS
from densekd.tasks import Detection, NoTask, Segmentation

IMAGES = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
LABELS = torch.zeros(2, 32, 32, dtype=torch.uint8)


class Features(nn.Module):
    """A student without head."""

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images]


def test_a_plain_module_labels_as_many_classes_as_it_has_channels() -> None:
    model = nn.Sequential(nn.Conv2d(3, 7, 1), nn.BatchNorm2d(7)).train()
    before = model[1].running_mean.clone()
    task = choose_task(None, model, (IMAGES, LABELS))
    assert isinstance(task, Segmentation)
    assert (task.num_classes, task.ignore_index) == (7, 255)
    # Measured without a trace.
    assert model.training
    assert torch.equal(model[1].running_mean, before)


def test_a_detector_detects() -> None:
    task = choose_task(None, MODELS["gfl"](4, backbone="resnet18_025", channels=16, depth=1))
    assert isinstance(task, Detection)
    assert task.num_classes == 4


def test_without_labels_there_is_no_task() -> None:
    task = choose_task(None, nn.Conv2d(3, 7, 1), (IMAGES, None))
    assert isinstance(task, NoTask)
    assert task.scored_as.num_classes == 7
    assert isinstance(choose_task(None, Features(), IMAGES), NoTask)


def test_a_name_is_built_and_a_task_is_kept() -> None:
    assert isinstance(choose_task("none", nn.Conv2d(3, 7, 1), (IMAGES, LABELS)), NoTask)
    named = choose_task("densekd.tasks:Segmentation", nn.Conv2d(3, 7, 1), (IMAGES, LABELS))
    assert isinstance(named, Segmentation)
    given = Segmentation(3, 0)
    assert choose_task(given, nn.Conv2d(3, 7, 1)) is given


def test_what_cannot_be_told() -> None:
    with pytest.raises(UserError, match="Conv2d has no num_classes, so that its task cannot be told"):
        choose_task(None, nn.Conv2d(3, 7, 1))
    with pytest.raises(RecipeError, match=r"Unknown task 'segmentaton'\. Did you mean 'segmentation'\?"):
        choose_task("segmentaton", nn.Conv2d(3, 7, 1), (IMAGES, LABELS))


def test_logit_channels() -> None:
    images = torch.rand(1, 3, 8, 8)
    assert logit_channels(nn.Conv2d(3, 5, 1), images) == 5
    assert logit_channels(Features(), images) is None
