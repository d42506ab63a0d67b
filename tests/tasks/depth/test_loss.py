"""The loss of MiDaS, against its formulas written out, and what it must not depend on."""

import numpy as np
import pytest
import torch
from torch import Tensor

from densekd.tasks.depth.alignment import scale_alone, scale_and_shift
from densekd.tasks.depth.loss import data_term, gradient_term, normalized, residuals


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    """Predictions, truths and where these were measured; of the third image nothing was."""
    generator = torch.Generator().manual_seed(3)
    prediction = torch.randn(3, 9, 12, generator=generator)
    truth = torch.rand(3, 9, 12, generator=generator) + 0.1
    valid = torch.rand(3, 9, 12, generator=generator) > 0.3
    valid[2] = False
    return prediction, truth, valid


def by_hand(prediction: Tensor, truth: Tensor, valid: Tensor, trim: float) -> float:
    """``1 / (2 M)`` times the sum of all but the largest differences of the normalized maps, averaged over images."""
    values = []
    for one, other, mask in zip(prediction, truth, valid, strict=True):
        if not mask.any():
            values.append(0.0)
            continue
        parts = []
        for x in (one[mask].numpy(), other[mask].numpy()):
            shifted = x - np.sort(x)[(len(x) - 1) // 2]  # torch's median: the lower of two in the middle
            parts.append(shifted / abs(shifted).mean())
        differences = np.sort(abs(parts[0] - parts[1]))
        kept = differences[: len(differences) - int(trim * len(differences))]
        values.append(float(kept.sum() / (2 * len(differences))))
    return float(np.mean(values))


@pytest.mark.parametrize("trim", [0.0, 0.2, 0.5])
def test_medians_and_trimmed_differences(maps: tuple[Tensor, Tensor, Tensor], trim: float) -> None:
    prediction, truth, valid = maps
    residual = residuals(prediction, truth, valid, "median")
    assert data_term(residual, valid, "median", trim).item() == pytest.approx(
        by_hand(prediction, truth, valid, trim), rel=1e-5
    )


def test_least_squares_is_what_numpy_solves(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, truth, valid = maps
    scale, shift = scale_and_shift(prediction, truth, valid.float())
    for k in range(2):
        x, y = prediction[k][valid[k]].double().numpy(), truth[k][valid[k]].double().numpy()
        solved = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
        assert [scale[k].item(), shift[k].item()] == pytest.approx(solved.tolist(), abs=1e-5)
        alone = scale_alone(prediction, truth, valid.float())[k].item()
        assert alone == pytest.approx(np.linalg.lstsq(x[:, None], y, rcond=None)[0].item(), abs=1e-5)
    assert (scale[2], shift[2]) == (0, 0)


def test_a_prediction_that_does_not_vary_gets_the_mean() -> None:
    truth = torch.tensor([[[1.0, 2.0, 6.0]]])
    scale, shift = scale_and_shift(torch.full_like(truth, 7), truth, torch.ones_like(truth))
    assert (scale.item(), shift.item()) == (0, pytest.approx(3))


@pytest.mark.parametrize("align", ["median", "least_squares"])
def test_scale_and_shift_change_nothing(maps: tuple[Tensor, Tensor, Tensor], align: str) -> None:
    prediction, truth, valid = maps

    def both(prediction: Tensor, truth: Tensor) -> list[float]:
        residual = residuals(prediction, truth, valid, align)  # type: ignore[arg-type]
        data = data_term(residual, valid, align, 0.2)  # type: ignore[arg-type]
        return [data.item(), gradient_term(residual, valid, 3).item()]

    expected = both(prediction, truth)
    assert both(5 * prediction - 40, truth) == pytest.approx(expected, rel=1e-4)
    assert both(prediction, 0.01 * truth + 3) == pytest.approx(expected, rel=1e-3)
    assert both(2 * truth + 1, truth) == pytest.approx([0, 0], abs=1e-5)


def test_gradients_at_every_scale_by_hand() -> None:
    residual = torch.zeros(1, 4, 4)
    residual[0, 0, 0] = 3
    residual[0, 2, 3] = 1
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    # Full size: two neighbors of the 3, three of the 1; at half size (0, 0) alone is left, with two neighbors.
    assert gradient_term(residual, valid, 1).item() == pytest.approx((2 * 3 + 3 * 1) / 16)
    assert gradient_term(residual, valid, 2).item() == pytest.approx((2 * 3 + 3 * 1) / 16 + 2 * 3 / 4)
    valid[0, 0, 1] = False
    assert gradient_term(residual, valid, 1).item() == pytest.approx((3 + 3 * 1) / 15)


def test_what_was_not_measured_has_no_influence(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, truth, valid = maps
    prediction.requires_grad_()
    spoiled = truth.where(valid, torch.tensor(1e6))
    for align in ("median", "least_squares"):
        one = residuals(prediction, truth, valid, align)  # type: ignore[arg-type]
        other = residuals(prediction, spoiled, valid, align)  # type: ignore[arg-type]
        assert torch.equal(one, other)
        (gradient,) = torch.autograd.grad(data_term(one, valid, align, 0.2), prediction)  # type: ignore[arg-type]
        assert gradient.isfinite().all()
        assert not gradient[~valid].any()
        assert gradient[0].any()


def test_maps_that_do_not_vary_are_zero() -> None:
    flat, valid = torch.full((1, 3, 3), 5.0), torch.ones(1, 3, 3, dtype=torch.bool)
    assert not normalized(flat, valid).any()
    assert normalized(flat, ~valid).tolist() == torch.zeros(1, 3, 3).tolist()
