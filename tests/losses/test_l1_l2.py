"""L1 and L2: values worked out by hand, vectors of length zero, the gradient where both agree."""

from typing import Any

import pytest
import torch

from densekd.losses.l1 import L1
from densekd.losses.l2 import L2


@pytest.mark.parametrize(("reduction", "wanted"), [("element", 1.5), ("sum", 12.0)])
def test_l1(reduction: Any, wanted: float) -> None:
    student = torch.full((2, 1, 2, 2), 2.0)
    teacher = torch.tensor([[[[0.5, 0.5], [3.5, 3.5]]]]).expand(2, 1, 2, 2)
    assert L1(reduction)(student, teacher).item() == wanted


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        # [3, 4] and [4, 3] have length 5: directions differ by [0.2, -0.2] in both images.
        ({}, 0.08),
        ({"mult": 5.0}, 2.0),
        ({"reduction": "element"}, 0.04),
        ({"reduction": "distance"}, 0.16**0.5),
        ({"reduction": "distance", "mult": 5.0}, 2.0),
        ({"normalize": "none"}, 2.0),
        ({"normalize": "none", "mult": 5.0}, 2.0),
        ({"normalize": "none", "reduction": "element"}, 1.0),
        ({"normalize": "none", "reduction": "distance"}, 2.0),
    ],
)
def test_l2(options: dict[str, Any], wanted: float) -> None:
    student = torch.tensor([3.0, 4.0], dtype=torch.float64).view(1, 2, 1, 1).expand(2, 2, 1, 1)
    assert L2(**options)(student, student.flip(1)).item() == pytest.approx(wanted, rel=1e-9)


def test_a_sample_of_zeros_has_no_direction() -> None:
    student, teacher = torch.zeros(2, 3, 4, 4, requires_grad=True), torch.randn(2, 3, 4, 4)
    value = L2()(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == pytest.approx(1, rel=1e-6)
    assert gradient.abs().max().item() < 10


def test_no_gradient_where_both_agree() -> None:
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(L2("none", reduction="distance")(student, student.detach()), student)
    assert gradient.abs().max().item() == 0
