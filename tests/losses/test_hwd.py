"""Holistic weighted distillation: its weights by hand, the released numbers, and where those are NaN."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.losses.cwd import CWD
from densekd.losses.hwd import HWD

K = torch.arange(2 * 6 * 8 * 8, dtype=torch.float64).view(2, 6, 8, 8)
STUDENT, TEACHER = 3 * torch.sin(0.1 * K), 4 * torch.cos(0.07 * K)
LABELS = ((7 * torch.arange(512)) // 5 % 7 - 1).view(2, 16, 16)


def maps(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(11)
    student, teacher = (3 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student, teacher


def value_and_gradient(
    loss: HWD, student: Tensor, teacher: Tensor, target: Tensor | None = None
) -> tuple[float, Tensor]:
    student = student.clone().requires_grad_()
    value = loss(student, teacher, target)
    (gradient,) = torch.autograd.grad(value, student)
    return value.item(), gradient


@pytest.mark.parametrize(
    ("options", "value", "norm"),
    [
        pytest.param({}, 7.7754192677, 0.2119323825, id="defaults"),
        pytest.param(
            {"values": "activations", "pixel_division": "N", "shift": 1.0}, 5.0132548843, 0.1219069499, id="published"
        ),
        pytest.param({"distance": "l1"}, 7.7352477431, 0.2102747482, id="L1"),
        pytest.param({"distance": "smooth_l1"}, 7.7255276771, 0.2098351760, id="SMOOTHL1"),
        pytest.param({"distance": "kl", "values": "activations"}, 7.8814792063, 0.2165759504, id="KL"),
        pytest.param({"process": "T", "parameter": 10.0}, 4.7097786078, 0.1135274692, id="T"),
        pytest.param({"pixel_division": "SqrtN"}, 7.3891937811, 0.2203235146, id="SqrtN"),
        pytest.param({"pixel_division": "N2"}, 7.2472715676, 0.2274895331, id="N2"),
    ],
)
def test_released_numbers(options: dict[str, Any], value: float, norm: float) -> None:
    # The released square root of a count is taken in float32.
    tolerance = 1e-8 if options.get("pixel_division") == "SqrtN" else 6e-11
    ours, gradient = value_and_gradient(HWD(**options), STUDENT, TEACHER, LABELS)
    assert ours == pytest.approx(value, abs=tolerance)
    assert gradient.norm().item() == pytest.approx(norm, abs=tolerance)


@pytest.mark.parametrize("values", ["logits", "activations"])
@pytest.mark.parametrize(("distance", "pointwise"), [("mse", torch.square), ("l1", torch.abs)])
@pytest.mark.parametrize(("division", "power"), [("none", 0), ("N", 1), ("SqrtN", 0.5), ("N2", 2)])
def test_against_loops(values: Any, distance: Any, pointwise: Any, division: Any, power: float) -> None:
    student, teacher = maps(2, 3, 4, 6)
    labels = torch.randint(-1, 5, (2, 4, 6))
    total = torch.zeros((), dtype=torch.float64)
    for s, t, label in zip(student, teacher, labels, strict=True):
        w = []
        for c in range(3):
            a, b = (x[c] if values == "logits" else (x[c] / 4).flatten().softmax(0) for x in (s, t))
            w.append(pointwise(a - b).sum() / (1 + (label == c).sum().item()) ** power)
        column = torch.stack(w)
        column = (column - column.mean()) / column.std() + 0.5
        weight = 3 * ((1 - 0.3**column) / (1 - 0.3)).softmax(0)
        for c in range(3):
            student_features, teacher_features = ((x[c] / 4).flatten().log_softmax(0) for x in (s, t))
            total += (
                weight[c]
                * F.kl_div(student_features, teacher_features, log_target=True, reduction="sum")
                * 16
                / (2 * 3)
            )
    ours = HWD(distance, values, division, 0.5, parameter=0.3)(student, teacher, labels)
    assert ours.item() == pytest.approx(total.item(), rel=1e-10)


def test_equal_distances_weigh_alike() -> None:
    """Every class has the same maps up to their order: plain CWD, where the original divides by zero."""
    student, teacher = (x.expand(2, 5, 4, 6) for x in maps(2, 1, 4, 6))
    value, gradient = value_and_gradient(HWD(), student, teacher)
    assert value == pytest.approx(CWD(4.0)(student, teacher).item(), rel=1e-12)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"distance": "kl", "values": "activations"}, {"shift": None}])
def test_one_channel_is_cwd(options: dict[str, Any]) -> None:
    student, teacher = maps(2, 1, 4, 6)
    value, _ = value_and_gradient(HWD(**options), student, teacher)
    assert value == pytest.approx(CWD(4.0)(student, teacher).item(), rel=1e-12)


def test_identical_tensors_cost_nothing() -> None:
    options: dict[str, Any]
    for options in ({}, {"distance": "kl", "values": "activations"}, {"shift": None, "process": "T"}):
        value, gradient = value_and_gradient(HWD(**options), STUDENT, STUDENT, LABELS)
        assert value == 0
        assert gradient.abs().max().item() < 1e-12


def test_parameter_one_is_the_limit() -> None:
    near = [HWD(parameter=p)(STUDENT, TEACHER).item() for p in (1 - 1e-6, 1 + 1e-6)]
    at = HWD(parameter=1.0)(STUDENT, TEACHER).item()
    assert at == pytest.approx(HWD(process="T", parameter=1.0)(STUDENT, TEACHER).item(), rel=1e-12)
    assert min(near) <= at <= max(near)
    assert max(near) - min(near) < 1e-4


@pytest.mark.parametrize("shift", [-1e4, -50.0, 50.0, 1e4, None])
@pytest.mark.parametrize("parameter", [1e-6, 0.1, 0.999, 1.001, 10.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_powers_that_overflow_weigh_finitely(shift: float | None, parameter: float, dtype: torch.dtype) -> None:
    value, gradient = value_and_gradient(HWD(shift=shift, parameter=parameter), STUDENT.to(dtype), TEACHER.to(dtype))
    assert 0 < value < 6 * CWD(4.0)(STUDENT, TEACHER).item() * 4
    assert gradient.isfinite().all()


def test_void_pixels_are_not_counted() -> None:
    student, teacher = maps(1, 3, 2, 2)
    loss = HWD(pixel_division="N", process="T", parameter=1.0)
    labels = torch.tensor([[[0, 255], [-1, 2]], [[0, 3], [3, 2]], [[1, 1], [1, 1]]])
    void, beyond, one = (loss(student, teacher, label[None]).item() for label in labels)
    assert void == beyond
    assert abs(void - one) > 1e-3


def test_labels_are_taken_by_nearest_neighbour() -> None:
    student, teacher = maps(1, 3, 2, 2)
    small = torch.tensor([[[0, 1], [2, 255]]])
    large = small.repeat_interleave(3, 1).repeat_interleave(5, 2)
    loss = HWD(pixel_division="N2")
    assert loss(student, teacher, large).item() == loss(student, teacher, small).item()


def test_a_division_needs_labels() -> None:
    with pytest.raises(ValueError, match="a pixel_division needs labels"):
        HWD(pixel_division="N")(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2))
