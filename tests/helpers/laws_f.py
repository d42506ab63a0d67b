"""Instances of the losses that learn from boxes for the laws every loss obeys, and the boxes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from densekd.losses.fgd import FGD
from densekd.losses.ld import LD
from densekd.ops.boxes import Boxes

VOID = 255
OF_BOXES = (FGD, LD)
STRIDE = 8  # pixels between the positions of the maps that the laws make


class Heads(nn.Module):
    """Feed a loss on the levels of a detector's head from single tensors: two levels, five bins for each side."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, student: Tensor, teacher: Tensor, target: Boxes | None) -> Tensor:
        value: Tensor = self.loss(self.levels(student), self.levels(teacher), target)
        return value

    @staticmethod
    def levels(x: Tensor) -> tuple[Tensor, ...]:
        coarse = x[:, :, ::2, ::2]
        return x, coarse, *(torch.cat([y.roll(k, 1 + k % 2) for k in range(4)], 1) for y in (x, coarse))


def learns_boxes(loss: nn.Module) -> bool:
    """Say whether a loss, wrapped or compiled, has boxes for a target."""
    loss = getattr(loss, "_orig_mod", loss)
    return isinstance(getattr(loss, "loss", loss), OF_BOXES)


def boxes_for(student: Tensor, labels: Tensor) -> Boxes:
    """Return two boxes in the first image and one in each other, in pixels; none in an image that is all void."""
    B, _, H, W = student.shape
    extent = STRIDE * torch.tensor([W, H, W, H])
    found = extent * torch.tensor([[0.1, 0.0, 0.9, 0.8], [0.3, 0.2, 0.9, 0.7]])
    boxes = [found[min(i, 1) :] if (labels[i] != VOID).any() else found[:0] for i in range(B)]
    sizes = torch.tensor([[STRIDE * H, STRIDE * W - 1]]).expand(B, 2)
    return Boxes(boxes, [torch.zeros(len(x), dtype=torch.int64) for x in boxes], sizes)


MAKE: dict[str, Callable[[], nn.Module]] = {
    "fgd": lambda: FGD(5, 5),
    "fgd T1": lambda: FGD(5, 5, 1.0, (1.0, 1.0, 1.0, 1.0), "image"),
    "ld main": lambda: Heads(LD(strides=(8, 16))),
    "ld main weights": lambda: Heads(LD(1.0, divisor="weights", strides=(8, 16), anchor_scale=4.0)),
    "ld valuable": lambda: Heads(LD(region="valuable", strides=(8, 16))),
}

# Key in MAKE or name in LOSSES -> laws that do not hold: the test's name without test_, or the id of an extreme.
EXCEPTIONS: dict[str, set[str]] = {
    # Background, attention and global relations need no box. Built for 5 channels.
    "fgd": {"void_positions_do_not_count", "all_void_costs_nothing", "one channel"},
    # Void is where no box is: ``test_ld.py`` moves all positions outside of the region. The law's shapes are not those
    # of the distributions: ``test_ld.py`` has them.
    "ld": {"void_positions_do_not_count", "other_shapes_are_refused"},
    # The weight follows the student without gradient.
    "ld main": {"a_step_against_the_gradient_lowers_it"},
    "ld main weights": {"a_step_against_the_gradient_lowers_it"},
}
