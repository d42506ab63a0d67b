import numpy as np
import pytest
import torch
from torch import Tensor

from densekd.metrics import ConfusionMatrix, scores

VOID = 255


def counted(predicted: Tensor, labels: Tensor, classes: int, ignore_index: int = VOID) -> ConfusionMatrix:
    metric = ConfusionMatrix(classes, ignore_index)
    metric.update(predicted, labels)
    return metric


def naive_iou(predicted: np.ndarray, labels: np.ndarray, classes: int) -> list[float | None]:
    """Intersection over union pixel by pixel, as one would do it on paper."""
    values: list[float | None] = []
    for c in range(classes):
        both = either = 0
        for p, y in zip(predicted.ravel(), labels.ravel(), strict=True):
            if y != VOID:
                both += p == c and y == c
                either += p == c or y == c
        values.append(100 * both / either if either else None)
    return values


def test_three_classes_by_hand() -> None:
    labels = torch.tensor([[0, 0, 0, 0], [1, 1, 2, VOID]])
    predicted = torch.tensor([[0, 0, 0, 1], [1, 2, 2, 0]])
    metric = counted(predicted, labels, 3)
    assert metric.counts.tolist() == [[3, 1, 0], [0, 1, 1], [0, 0, 1]]
    result = metric.compute()
    assert result["iou"] == pytest.approx([75, 100 / 3, 50])
    assert result["miou"] == pytest.approx((75 + 100 / 3 + 50) / 3)
    assert result["macc"] == pytest.approx((75 + 50 + 100) / 3)
    assert result["aacc"] == pytest.approx(100 * 5 / 7)


def test_a_class_absent_from_labels_and_predictions_is_left_out() -> None:
    result = counted(torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2]), 4).compute()
    assert result["iou"] == [50, None, 50, None]
    assert result["miou"] == 50
    assert result["macc"] == 75


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    result = counted(torch.tensor([0, 1]), torch.tensor([0, 0]), 2).compute()
    assert result["iou"] == [50, 0]
    assert result["miou"] == 25
    assert result["macc"] == 50  # no recall without a label


@pytest.mark.parametrize("labels", [torch.full((2, 3), VOID), torch.zeros(0, 3, dtype=torch.int64)])
def test_nothing_to_count_gives_none(labels: Tensor) -> None:
    result = counted(torch.zeros_like(labels), labels, 3).compute()
    assert result == {"miou": None, "macc": None, "aacc": None, "iou": [None, None, None]}


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (5, 1), (11, 2)])
def test_agreement_with_a_naive_loop(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (3, 9, 7))
    labels[rng.random(labels.shape) < 0.2] = VOID
    predicted = rng.integers(0, classes, labels.shape)
    result = counted(torch.from_numpy(predicted), torch.from_numpy(labels), classes).compute()
    expected = naive_iou(predicted, labels, classes)
    assert result["iou"] == pytest.approx(expected)
    assert result["miou"] == pytest.approx(np.mean([value for value in expected if value is not None]))
    valid = labels != VOID
    assert result["aacc"] == pytest.approx(100 * (predicted == labels)[valid].mean())
    recalls = [100 * (predicted == c)[labels == c].mean() for c in range(classes)]
    assert result["macc"] == pytest.approx(np.mean(recalls))


@pytest.mark.parametrize("void", [255, 0, 2])
def test_what_is_predicted_on_void_does_not_matter(void: int) -> None:
    labels = torch.tensor([1, 1, void, void])
    results = [counted(torch.tensor([1, 1, *there]), labels, 3, void).compute() for there in ([0, 0], [1, 2], [2, 2])]
    assert results[0] == results[1] == results[2]
    assert results[0]["miou"] == 100


def test_updates_add_up_and_reset_forgets() -> None:
    predicted, labels = torch.randint(3, (4, 5, 6)), torch.randint(3, (4, 5, 6))
    whole = counted(predicted, labels, 3)
    parts = ConfusionMatrix(3, VOID)
    for k in range(4):
        parts.update(predicted[k], labels[k])
    assert torch.equal(parts.counts, whole.counts)
    assert parts.compute() == parts.compute() == whole.compute()
    parts.reset()
    assert parts.counts.sum() == 0
    assert parts.compute()["miou"] is None


def test_many_pixels_are_counted_exactly() -> None:
    many = 2**24 + 1  # the first whole number that float32 cannot tell from its neighbour
    result = scores(torch.tensor([[many, 1], [0, many]]))
    assert result["iou"][1] == pytest.approx(100 * many / (many + 1), rel=1e-12)
    assert result["aacc"] == pytest.approx(100 * 2 * many / (2 * many + 1), rel=1e-12)


def test_the_counts_are_not_part_of_a_checkpoint() -> None:
    assert counted(torch.tensor([0]), torch.tensor([0]), 2).state_dict() == {}
