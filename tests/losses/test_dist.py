"""DIST: invariances that Pearson's correlation has, values worked out by hand."""

import pytest
import torch

from densekd.losses.dist import DIST


def test_scale_and_offset_of_a_position_do_not_matter() -> None:
    student, teacher = torch.randn(2, 5, 4, 6, dtype=torch.float64), torch.randn(2, 5, 4, 6, dtype=torch.float64)
    loss = DIST(gamma=0.0, normalize="none")
    scaled = student * torch.rand(2, 1, 4, 6) + torch.randn(2, 1, 4, 6)
    assert loss(scaled, teacher).item() == pytest.approx(loss(student, teacher).item(), rel=1e-6)
    assert DIST(beta=0.0, normalize="none")(scaled, teacher).item() != pytest.approx(
        DIST(beta=0.0, normalize="none")(student, teacher).item(), rel=1e-3
    )


def test_rows_are_positions_of_all_images() -> None:
    student, teacher = torch.randn(2, 5, 4, 6, dtype=torch.float64), torch.randn(2, 5, 4, 6, dtype=torch.float64)
    columns = [x.movedim(1, 0).flatten(1) for x in (student.softmax(1), teacher.softmax(1))]
    wanted = 1 - sum(torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in zip(*columns, strict=True)) / 5
    assert DIST(beta=0.0)(student, teacher).item() == pytest.approx(wanted, rel=1e-6)


def test_opposite_logits_cost_two_each() -> None:
    student = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    assert DIST(beta=1.0, gamma=2.0, normalize="none")(student, -student).item() == pytest.approx(6, rel=1e-6)


def test_temperature_is_squared_and_needs_a_softmax() -> None:
    student, teacher = torch.randn(2, 5, 4, 6), torch.randn(2, 5, 4, 6)
    assert DIST(4.0)(4 * student, 4 * teacher).item() == pytest.approx(16 * DIST()(student, teacher).item(), rel=1e-5)
    raw = DIST(4.0, normalize="none")(student, teacher)
    assert raw.item() == DIST(1.0, normalize="none")(student, teacher).item()
