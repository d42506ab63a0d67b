"""Instances of every loss for the laws that all of them obey.

``laws/<method>.py`` has, for the rows of ``LOSSES`` that begin with its name,

- ``MAKE``: one maker for each behavior; a key begins with the name in ``LOSSES``;
- ``EXCEPTIONS``: a key of ``MAKE`` or a name in ``LOSSES`` -> the laws that do not hold for it, each
  with a comment that says why: a test's name without ``test_``, or the id of one of its cases.

A loss without such a file is made with its default options, and every law is to hold.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from densekd.losses import LOSSES
from densekd.ops.boxes import Boxes
from densekd.registry import construct

VOID = 255
CHANNELS = 5
STRIDE = 8  # pixels between the positions of the maps that the laws make
# What a build would supply for the maps of the laws.
SUPPLIED: dict[str, Any] = {
    "student_channels": CHANNELS,
    "teacher_channels": CHANNELS,
    "teacher_size": (6, 7),
    "num_classes": CHANNELS,
    "ignore_index": VOID,
}
Makers = dict[str, Callable[[], nn.Module]]


class OnLevels(nn.Module):
    """A loss that takes tuples, fed from single maps.

    Args:
        loss: the loss.
        levels: one map -> the levels made from it.
    """

    def __init__(self, loss: nn.Module, levels: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.loss = loss
        self.levels = levels

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | Boxes | None) -> Tensor:
        value: Tensor = self.loss(self.levels(student), self.levels(teacher), target)
        return value


def three_levels(x: Tensor) -> tuple[Tensor, ...]:
    """Return three levels of one size with attention of their own."""
    return x, x[:, :1], x.roll(1, 3)


def takes_levels(loss: type[nn.Module]) -> bool:
    """Tell whether a loss compares tuples of maps, by the annotation of its first argument."""
    return get_type_hints(loss.forward)["student"] is not Tensor


def learns_boxes(loss: type[nn.Module]) -> bool:
    """Tell whether a loss learns from boxes, by the annotation of its target."""
    return "Boxes" in str(get_type_hints(loss.forward)["target"])


def inner(loss: nn.Module) -> nn.Module:
    """Return the loss itself of one that is compiled or wrapped."""
    loss = getattr(loss, "_orig_mod", loss)
    return getattr(loss, "loss", loss)


def target_for(loss: nn.Module, student: Tensor, labels: Tensor) -> Tensor | Boxes:
    """Return what a loss learns from: the labels, or boxes where a detector has them."""
    return boxes_for(student, labels) if learns_boxes(type(inner(loss))) else labels


def boxes_for(student: Tensor, labels: Tensor) -> Boxes:
    """Return two boxes in the first image and one in each other, in pixels; none where all is void."""
    B, _, H, W = student.shape
    extent = STRIDE * torch.tensor([W, H, W, H])
    found = extent * torch.tensor([[0.1, 0.0, 0.9, 0.8], [0.3, 0.2, 0.9, 0.7]])
    boxes = [found[min(i, 1) :] if (labels[i] != VOID).any() else found[:0] for i in range(B)]
    sizes = torch.tensor([[STRIDE * H, STRIDE * W - 1]]).expand(B, 2)
    return Boxes(boxes, [torch.zeros(len(x), dtype=torch.int64) for x in boxes], sizes)


def default(name: str) -> nn.Module:
    """Return a loss with its default options."""
    loss: nn.Module = construct(LOSSES[name], {}, SUPPLIED, name)
    return OnLevels(loss, three_levels) if takes_levels(LOSSES[name]) else loss


def needs_labels(name: str) -> bool:
    """Tell whether a loss with its default options refuses to work without labels."""
    x = torch.ones(1, CHANNELS, 6, 7)
    try:
        default(name).eval()(x, x, None)
    except ValueError as error:
        return "needs labels" in str(error)
    return False


def _collect() -> tuple[Makers, dict[str, set[str]]]:
    makers: Makers = {}
    exceptions: dict[str, set[str]] = {}
    for name in LOSSES:
        module = f"laws.{name.partition('.')[0]}"
        if find_spec(module) is None:
            makers[name] = lambda name=name: default(name)  # type: ignore[misc]
            continue
        laws = import_module(module)
        makers |= laws.MAKE
        exceptions |= laws.EXCEPTIONS
    return makers, exceptions


MAKE, EXCEPTIONS = _collect()
