import pytest
import torch

from densekd.ops.class_weights import class_counts, geometric_weight, standardize


def test_counts_by_hand() -> None:
    labels = torch.tensor([[[0, 2], [2, 255]], [[-1, 3], [1, 1]]])
    assert class_counts(labels, 3).tolist() == [[1, 0, 2], [0, 2, 0]]


def test_counts_agree_with_comparisons() -> None:
    labels = torch.randint(-1, 9, (3, 17, 13))
    expected = (labels.flatten(1)[:, None] == torch.arange(7)[:, None]).sum(2)
    assert torch.equal(class_counts(labels, 7), expected)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_rows_are_standardized(scale: float) -> None:
    w = torch.rand(4, 9)
    expected = (w - w.mean(1, keepdim=True)) / w.std(1, keepdim=True)
    torch.testing.assert_close(standardize(scale * w), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [1e-40, 1e-40, 1e-40], [0.1, 0.1, 0.1], [3.0]])
def test_equal_values_have_no_spread(row: list[float]) -> None:
    assert standardize(torch.tensor([row])).tolist() == [[0.0] * len(row)]


@pytest.mark.parametrize("base", [0.1, 0.9, 1.0, 1.5, 4.0])
def test_geometric_weight_is_the_formula_less_its_largest_value(base: float) -> None:
    w = torch.randn(5, 7, dtype=torch.float64)
    v = w if base == 1 else (1 - base**w) / (1 - base)
    torch.testing.assert_close(geometric_weight(w, base), v - v.amax(1, keepdim=True))


@pytest.mark.parametrize("base", [1e-6, 0.1, 1.0, 10.0, 1e6])
@pytest.mark.parametrize("offset", [-1e30, -1e4, 0.0, 1e4, 1e30])
def test_geometric_weight_overflows_without_nan(base: float, offset: float) -> None:
    v = geometric_weight(torch.tensor([[-1.0, 0.0, 2.0]]) + offset, base)
    assert not v.isnan().any()
    assert v.amax().item() == 0
    assert v.softmax(1).sum().item() == pytest.approx(1)


def test_geometric_weight_far_below_leaves_one_class() -> None:
    """0.1^-1000 is infinite; the class that is largest takes everything, as in exact arithmetic."""
    assert geometric_weight(torch.tensor([[-1001.0, -1000.0]]), 0.1).softmax(1).tolist() == [[0.0, 1.0]]
