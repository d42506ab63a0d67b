"""What the released losses on features give on inputs written as formulas (float64): values and gradient norms."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from densekd.losses.at import AT
from densekd.losses.dsd import CSD, PSD
from densekd.losses.fitnet import FitNet
from densekd.losses.ifvd import IFVD
from densekd.losses.pairwise import Pairwise
from densekd.losses.pixel import Pixel

VOID = -1
K = torch.arange(2 * 6 * 8 * 8, dtype=torch.float64).view(2, 6, 8, 8)
STUDENT, TEACHER = 3 * torch.sin(0.1 * K), 4 * torch.cos(0.07 * K)
LABELS = (7 * torch.arange(512) // 5 % 7 - 1).view(2, 16, 16)


def levels(x: Tensor) -> tuple[Tensor, ...]:
    return x[:, :2], x, x[:, 2:5]


def last(x: Tensor) -> Tensor:
    return x[:, 2:5]


def whole(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize(
    ("terms", "view", "value", "gradient_norm"),
    [
        pytest.param([(1, Pairwise())], whole, 0.8164304859, 0.0818170075, id="pairwise (CIRKD, HWD)"),
        pytest.param([(1, IFVD(6, VOID))], whole, 0.7651837753, 0.1315452778, id="IFVD (TorchDistiller, CIRKD)"),
        pytest.param([(1, AT())], whole, 0.0055089961, 0.0003377184, id="AT (CIRKD, MMRazor)"),
        pytest.param([(1, PSD())], levels, 0.0292780322, 0.0061514874, id="DSD pixel-wise (CIRKD)"),
        pytest.param([(1, CSD())], last, 0.0003549115, 0.0000185159, id="DSD category-wise (CIRKD)"),
        pytest.param([(1, FitNet())], whole, 11.6642323652, 0.2464776060, id="FitNet (CIRKD, identity)"),
        pytest.param([(1, AT("mean")), (1, Pixel(VOID))], whole, 4.4143336573, 0.1423377128, id="ATLoss (SegDistill)"),
        pytest.param(
            [(10, IFVD(6, VOID)), (1, Pixel(VOID))], whole, 8.8534744713, 1.3140614190, id="IFVDLoss (SegDistill)"
        ),
    ],
)
def test_released_numbers(
    terms: list[tuple[float, nn.Module]], view: Callable[[Tensor], Tensor], value: float, gradient_norm: float
) -> None:
    student = STUDENT.clone().requires_grad_()
    ours: Tensor = sum(  # type: ignore[assignment]
        weight * loss(view(student), view(TEACHER), LABELS) for weight, loss in terms
    )
    (gradient,) = torch.autograd.grad(ours, student)
    assert ours.item() == pytest.approx(value, abs=6e-11)
    assert gradient.norm().item() == pytest.approx(gradient_norm, abs=6e-11)
