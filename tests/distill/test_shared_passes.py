"""Equal teachers read one pass: the same tensors as their own, computed once."""

import copy

import torch
from torch import nn

from densekd.distill.shared_passes import SharedPasses
from densekd.distill.teacher import FrozenTeacher


class Counted(nn.Sequential):
    """Two convolutions that count their passes."""

    passes = 0

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        Counted.passes += 1
        return super().forward(images)


def shared_pair() -> tuple[FrozenTeacher, FrozenTeacher, SharedPasses]:
    torch.manual_seed(0)
    model = Counted()
    passes = SharedPasses()
    pair = FrozenTeacher(model, ["0"]), FrozenTeacher(copy.deepcopy(model), ["1", "logits"])
    for teacher in pair:
        teacher.share(passes)
    return (*pair, passes)


def test_a_pass_is_computed_once_and_is_that_of_a_teacher_alone() -> None:
    one, other, _ = shared_pair()
    for step in range(3):
        images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        alone = FrozenTeacher(copy.deepcopy(one.model), ["0", "1"])(images)
        Counted.passes = 0
        a, b = one(images), other(images.clone())
        assert Counted.passes == 1
        assert list(a) == ["0"]
        assert list(b) == ["1", "logits"]
        assert torch.equal(a["0"], alone["0"])
        assert torch.equal(b["1"], alone["1"])


def test_other_images_precision_and_changed_tensors_are_computed_anew() -> None:
    one, other, _ = shared_pair()
    images = torch.rand(2, 3, 8, 8)
    first = one(images)["0"]
    Counted.passes = 0
    other(images + 0.5)
    assert Counted.passes == 1
    one(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert one(images)["0"].dtype == torch.bfloat16
    assert Counted.passes == 3
    # What a loss has spoiled is not what another one gets.
    one(images)["0"].zero_()
    assert torch.equal(one(images)["0"], first)


def test_a_tap_that_cannot_be_read_is_told_to_its_owner_alone() -> None:
    one, _, passes = shared_pair()
    images = torch.rand(2, 3, 8, 8)
    expected = one(images)["0"]
    passes.add(["0[3]"])
    assert torch.equal(one(images + 0)["0"], expected)
    assert torch.equal(one(images + 0)["0"], expected)
