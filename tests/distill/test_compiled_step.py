"""A step compiled as one graph: both models, the task's losses and all terms; the numbers of the step as it is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kernel_cases import COMPILES
from tiny_detectors import tiny_detector
from torch import Tensor, nn
from torch._dynamo.utils import counters

from densekd.distill.distiller import Distiller
from densekd.distill.terms import Term, WeightSchedule
from densekd.losses.cwd import CWD
from densekd.models import find_model
from densekd.ops.boxes import Boxes
from densekd.tasks.detection import Detection
from densekd.tasks.segmentation import Segmentation

Made = tuple[Distiller, dict[str, Any]]


def pspnet_cwd() -> Made:
    """With an auxiliary head, and a weight that warms up."""
    torch.manual_seed(0)
    options = {"backbone": "resnet18_025", "family": "torchdistiller"}
    student = find_model("pspnet")(3, **options, auxiliary_channels=8)
    teacher = find_model("pspnet")(3, **options)
    terms = {"cwd": Term(CWD(4.0), weight=WeightSchedule(3.0, warmup=3))}
    batch = {"images": torch.rand(2, 3, 32, 48).double(), "target": torch.randint(3, (2, 32, 48))}
    # In float32 a graph rounds otherwise, by a hundred-thousandth of this loss.
    return Distiller(student.double(), teacher.double(), Segmentation(3, 255), terms), batch


def gfl_cwd() -> Made:
    """With three boxes and two."""
    terms = {f"cwd-{k}": Term(CWD(1.0), f"cls.{k}", weight=WeightSchedule(2.0, warmup=3)) for k in range(5)}
    boxes = [
        torch.tensor([[4.0, 6, 60, 50], [10, 10, 31, 41], [30, 2, 90, 60]]),
        torch.tensor([[0.0, 0, 20, 20], [5, 5, 30, 40]]),
    ]
    labels = [torch.tensor([2, 0, 1]), torch.tensor([1, 0])]
    truth = Boxes(boxes, labels, torch.tensor([[64, 96]] * 2))
    batch = {"images": torch.rand(2, 3, 64, 96), **truth._asdict()}
    teacher = tiny_detector("gfl")
    torch.nn.init.normal_(teacher.get_parameter("head.cls.weight"))
    return Distiller(tiny_detector("gfl"), teacher, Detection(3), terms), batch


def step(distiller: Distiller, batch: dict[str, Any], n: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return losses and gradients."""
    distiller.zero_grad()
    losses = distiller.losses(batch, n)
    torch.stack(list(losses.values())).sum().backward()
    grads = {name: p.grad.clone() for name, p in distiller.named_parameters() if p.grad is not None}
    return losses, grads


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@COMPILES
@pytest.mark.parametrize("make", [pspnet_cwd, gfl_cwd])
def test_one_graph_with_the_same_numbers(make: Callable[[], Made]) -> None:
    torch.compiler.reset()
    counters.clear()
    (eager, batch), (compiled, _) = make(), make()
    compiled.compile_step("eager", fullgraph=True)
    # A weight that grows changes no graph.
    for n in (1, 2):
        torch.manual_seed(n)
        expected = step(eager, batch, n)
        torch.manual_seed(n)
        found = step(compiled, batch, n)
        torch.testing.assert_close(found, expected)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert hooks(compiled) == 0


def test_hooks_are_gone_after_an_exception() -> None:
    distiller, batch = pspnet_cwd()
    distiller.compile_step("eager")
    with pytest.raises(RuntimeError, match="size of tensor"):
        distiller.losses(batch | {"images": torch.rand(2, 5, 32, 48)}, 1)
    assert hooks(distiller) == 0
