"""A training step hardly makes the host wait for the device: no loss and no task may do so more often than today.

A GPU works on what the host has queued. Where the host asks for a value it waits until all of that is done, and the
device then waits for the host. What is below is how often that happens today; lower numbers are welcome.
"""

from importlib import import_module
from typing import Any

import pytest
import torch
from host_stops import HostStops
from laws import MAKE, target_for
from tiny_detectors import tiny_detector
from torch import Tensor, nn

from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import OptimizerConfig
from densekd.distill.terms import Term
from densekd.losses import LOSSES
from densekd.losses.cwd import CWD
from densekd.models import find_model
from densekd.ops.boxes import Boxes
from densekd.tasks.depth import Depth
from densekd.tasks.detection import Detection
from densekd.tasks.segmentation import Segmentation

# Of a batch of four images; of Faster R-CNN those of a GPU, where all levels are suppressed at once.
DEPTH = 0
DETECTORS = {"gfl": 1, "retinanet": 1, "faster_rcnn": 12}
# Of losses that have any, by the beginning of their names in ``laws.MAKE``.
OF_LOSSES: dict[str, int] = {}
IMAGES = 4


def boxes_of_four() -> Boxes:
    """Three, no, one and two boxes."""
    boxes = [
        torch.tensor([[4.0, 6, 60, 50], [10, 10, 31, 41], [30, 2, 90, 60]]),
        torch.zeros(0, 4),
        torch.tensor([[0.0, 0, 20, 20]]),
        torch.tensor([[50.0, 20, 95, 63], [1, 1, 9, 9]]),
    ]
    labels = [torch.tensor([2, 0, 1]), torch.zeros(0, dtype=torch.int64), torch.tensor([1]), torch.tensor([0, 2])]
    return Boxes(boxes, labels, torch.tensor([[64, 96]] * IMAGES))


def stops_of(task: Any, student: nn.Module, batch: dict[str, Any], **more: Any) -> HostStops:
    """Count those of one step: losses, backward pass, optimizer; another step went before it."""
    distiller = Distiller(student, task=task, optimizer=OptimizerConfig("sgd", 0.01, 10), **more)
    optimizer = torch.optim.SGD(student.parameters(), 0.01, momentum=0.9)

    def step() -> None:
        total = torch.stack(list(distiller.losses(batch, 1).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    step()
    with HostStops() as stops:
        step()
    return stops


def segmentation_batch() -> dict[str, Tensor]:
    labels = torch.randint(3, (IMAGES, 32, 48), dtype=torch.uint8)
    labels[:, :2] = 255
    return {"images": torch.randint(256, (IMAGES, 3, 32, 48), dtype=torch.uint8), "target": labels}


def small(classes: int) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = find_model("fpn")(num_classes=classes, backbone="mobilenetv3_small_050", channels=8)
    return model


def test_segmentation() -> None:
    assert stops_of(Segmentation(3, 255), small(3), segmentation_batch()).counts == {}


def test_balanced_segmentation() -> None:
    task = Segmentation(3, 255, class_weights=(1.0, 2.0, 0.5), normalize="all")
    assert stops_of(task, small(3), segmentation_batch()).counts == {}


def test_segmentation_with_a_teacher() -> None:
    terms = {"cwd": Term(CWD(), "logits", weight=3.0)}
    stops = stops_of(Segmentation(3, 255), small(3), segmentation_batch(), teacher=small(3), terms=terms)
    assert stops.counts == {}


def test_depth() -> None:
    batch = segmentation_batch()
    batch["target"] = torch.rand(IMAGES, 32, 48) + 0.5
    batch["target"][:, :2] = 0
    assert stops_of(Depth(), small(1), batch).total <= DEPTH


@pytest.mark.parametrize("name", DETECTORS)
def test_detection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("densekd.models.detection.faster_rcnn"), "_at_once", lambda boxes: True)
    boxes = boxes_of_four()
    batch = {"images": torch.rand(IMAGES, 3, 64, 96), **boxes._asdict()}
    stops = stops_of(Detection(3), tiny_detector(name), batch)
    assert stops.total <= DETECTORS[name], stops.counts


@pytest.mark.parametrize("name", MAKE)
def test_loss(name: str) -> None:
    if "compiled" in name:
        pytest.skip("a graph of torch.compile dispatches nothing")
    torch.manual_seed(0)
    loss = MAKE[name]()
    student, teacher = (torch.randn(2, 5, 6, 7) for _ in range(2))
    student.requires_grad_()
    labels = torch.randint(5, (2, 12, 14))
    labels[:, 0] = 255

    target = target_for(loss, student, labels)

    def step() -> None:
        loss(student, teacher, target).backward()

    step()
    with HostStops() as stops:
        step()
    assert stops.total <= OF_LOSSES.get(name, 0), stops.counts


def test_stops_are_seen() -> None:
    x = torch.arange(4.0, requires_grad=True)
    with HostStops() as stops:
        x.sum().item()
        x[x > 1].sum().backward()
        torch.tensor([1.0, 2.0])
        (x > 1).nonzero()
        bool((x > 0).any())
        x.to(torch.float64)
        x[torch.zeros(2, dtype=torch.int64)]
    # A boolean index stops the host forward and backward.
    assert stops.counts == {"_local_scalar_dense": 2, "index": 1, "index_put": 1, "lift_fresh": 1, "nonzero": 1}


def test_every_number_belongs_to_a_loss() -> None:
    assert set(OF_LOSSES) <= set(MAKE)
    assert {name.partition(" ")[0] for name in MAKE} == set(LOSSES)
