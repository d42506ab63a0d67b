"""Values and gradient norms that the released implementations give on inputs written as formulas (float64)."""

from typing import Any

import pytest
import torch
from formula_inputs import STUDENT, TEACHER
from torch import Tensor, nn

from densekd.losses.cwd import CWD
from densekd.losses.pixel import Pixel

VOID = 255


def test_inputs() -> None:
    assert STUDENT.sum().item() == pytest.approx(23.45408457818603, rel=1e-12)
    assert TEACHER.sum().item() == pytest.approx(-15.866282668645606, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "weight", "value", "gradient_norm"),
    [
        pytest.param(CWD(4.0), 1, 4.4194684824, 0.1066683501, id="CWD channel KL T 4 (TorchDistiller, CIRKD, HWD)"),
        pytest.param(CWD(1.0), 1, 1.9856083074, 0.0693141967, id="CWD channel KL T 1 (TorchDistiller)"),
        pytest.param(CWD(1.0), 5, 9.9280415372, 0.3465709834, id="CWD T 1 weight 5 (MMRazor)"),
        pytest.param(CWD(4.0, "channel", "mse"), 1, 0.0576534943, 0.0028730690, id="CWD channel MSE"),
        pytest.param(CWD(4.0, "spatial"), 1, 3.5999571277, 0.0972196865, id="CWD spatial KL T 4"),
        pytest.param(CWD(1.0, "spatial"), 1, 1.2016367186, 0.0593904700, id="CWD spatial KL T 1"),
        pytest.param(CWD(1.0, "spatial", "mse"), 1, 0.4514851743, 0.0199363985, id="CWD spatial MSE"),
        pytest.param(CWD(1.0, "channel_mean", "mse"), 1, 0.9565751814, 0.0705844346, id="CWD channel_mean MSE"),
        pytest.param(Pixel(VOID, 1.0, "element", "none"), 1, 0.2002727864, 0.0098984117, id="pixel (TorchDistiller)"),
        pytest.param(Pixel(VOID, 1.0), 1, 1.2016367186, 0.0593904700, id="pixel T 1 (CIRKD, HWD)"),
        pytest.param(Pixel(VOID, 4.0), 1, 3.5999571277, 0.0972196865, id="pixel T 4 (CIRKD, HWD)"),
        pytest.param(Pixel(VOID, 1.0, "batch"), 1, 76.9047499885, 3.8009900784, id="KLDivergence batchmean (MMRazor)"),
    ],
)
def test_released_numbers(loss: nn.Module, weight: float, value: float, gradient_norm: float) -> None:
    student = STUDENT.clone().requires_grad_()
    ours: Tensor = weight * loss(student, TEACHER, None)
    (gradient,) = torch.autograd.grad(ours, student)
    assert ours.item() == pytest.approx(value, abs=6e-11)
    assert gradient.norm().item() == pytest.approx(gradient_norm, abs=6e-11)


def test_released_raw_values_see_one_image() -> None:
    """TorchDistiller's ``none`` compares the first image and divides by both: half of ours on that image."""
    ours: Any = CWD(1.0, "none", "mse")(STUDENT[:1], TEACHER[:1])
    assert ours.item() / 2 == pytest.approx(34.6752147540, abs=6e-11)


def test_released_cross_entropy_differs_by_the_teachers_entropy() -> None:
    """mmsegmentation- and mmdetection-distiller drop the entropy: 25.79 at weight 5 where the divergence is 9.93."""
    maps = TEACHER.flatten(2)
    entropy = -(maps.softmax(2) * maps.log_softmax(2)).sum(2).mean()
    assert (5 * (CWD(1.0)(STUDENT, TEACHER) + entropy)).item() == pytest.approx(25.7903430254, abs=6e-10)
