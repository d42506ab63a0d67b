import numpy as np
import pytest
import torch
from torch import Tensor

from densekd.tasks.segmentation.boundary import BoundaryScore
from densekd.tasks.segmentation.calibration import Calibration
from densekd.tasks.segmentation.confusion import ConfusionMatrix, confidence_interval, scores

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
    assert result == {
        **dict.fromkeys(("miou", "fwiou", "macc", "aacc")),
        "iou": [None] * 3,
        "acc": [None] * 3,
    }


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


def test_frequency_weighted_and_per_class_accuracy_by_hand() -> None:
    labels = torch.tensor([[0, 0, 0, 0], [1, 1, 2, VOID]])
    predicted = torch.tensor([[0, 0, 0, 1], [1, 2, 2, 0]])
    result = counted(predicted, labels, 4).compute()
    assert result["fwiou"] == pytest.approx((4 * 75 + 2 * 100 / 3 + 50) / 7)
    assert result["acc"] == pytest.approx([75, 50, 100, None])


def test_absent_classes_count_zero_in_the_legacy_mean() -> None:
    metric = counted(torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2]), 4)
    assert scores(metric.counts, "zero")["miou"] == 25
    assert scores(metric.counts, "zero")["macc"] == pytest.approx(150 / 4)
    assert scores(torch.zeros(4, 4), "zero")["miou"] is None


def test_counts_per_image_add_up_to_the_matrix() -> None:
    predicted, labels = torch.randint(4, (3, 5, 6)), torch.randint(4, (3, 5, 6))
    labels[0, 0] = VOID
    metric = counted(predicted, labels, 4)
    (images,) = metric.images
    assert images.shape == (3, 3, 4)
    for b in range(3):
        table = counted(predicted[b], labels[b], 4).counts
        assert torch.equal(images[b], torch.stack([table.diag(), table.sum(1), table.sum(0)]))


def test_the_interval_is_that_of_a_literal_bootstrap() -> None:
    torch.manual_seed(0)
    labels = torch.randint(3, (20, 8, 8))
    predicted = torch.where(torch.rand(20, 8, 8) < torch.rand(20, 1, 1), labels, torch.randint(3, (20, 8, 8)))
    metric = counted(predicted, labels, 3)
    low, high = confidence_interval(metric.images)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(2000):
        drawn = rng.integers(0, 20, 20)
        values.append(counted(predicted[drawn], labels[drawn], 3).compute()["miou"])
    assert low == pytest.approx(np.percentile(values, 2.5), abs=0.7)
    assert high == pytest.approx(np.percentile(values, 97.5), abs=0.7)
    assert low < metric.compute()["miou"] < high
    assert confidence_interval(metric.images) == [low, high]


def test_no_interval_without_images() -> None:
    assert confidence_interval([]) is None
    assert confidence_interval(counted(torch.zeros(1, 2, 2).long(), torch.zeros(1, 2, 2).long(), 2).images) is None
    void = torch.full((3, 2, 2), VOID)
    assert confidence_interval(counted(torch.zeros_like(void), void, 2).images) is None


def literal_boundary_score(predicted: np.ndarray, labels: np.ndarray, radius: int) -> float:
    """Distances between all pairs of outline pixels of one image."""
    H, W = labels.shape
    values = []
    for c in range(3):

        def outline(x: np.ndarray, c: int = c) -> np.ndarray:
            found = []
            for y, x0 in np.argwhere((x == c) & (labels != VOID)):
                around = [(y + 1, x0), (y - 1, x0), (y, x0 + 1), (y, x0 - 1)]
                inside = [(a, b) for a, b in around if 0 <= a < H and 0 <= b < W and labels[a, b] != VOID]
                if any(x[a, b] != c for a, b in inside):
                    found.append((y, x0))
            return np.array(found).reshape(-1, 2)

        ours, theirs = outline(predicted), outline(labels)
        if not len(ours) and not len(theirs):
            continue
        distance = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(2))
        near = distance <= radius
        precision = near.any(1).mean() if len(ours) else 0
        recall = near.any(0).mean() if len(theirs) else 0
        values.append(2 * precision * recall / max(precision + recall, 1e-12))
    return 100 * float(np.mean(values))


def test_boundary_score_equals_distances_between_all_outline_pixels() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 3, (5, 6))
    labels = small.repeat(5, 0).repeat(5, 1)
    predicted = np.roll(labels, (1, 2), (0, 1))
    labels[:4, :7] = VOID
    for tolerance, radius in ((0.05, 2), (0.08, 3), (0.01, 1)):
        metric = BoundaryScore(3, VOID, tolerance)
        metric.update(torch.from_numpy(predicted)[None], torch.from_numpy(labels)[None])
        assert metric.compute() == pytest.approx(literal_boundary_score(predicted, labels, radius), abs=1e-4)


def test_boundary_score_of_equal_and_of_outline_free_images() -> None:
    labels = torch.zeros(1, 8, 8).long()
    metric = BoundaryScore(2, VOID)
    metric.update(labels, labels)
    assert metric.compute() is None
    labels[:, :, 4:] = 1
    metric.update(labels, labels)
    assert metric.compute() == 100


def test_calibration_error_by_hand() -> None:
    metric = Calibration(VOID, bins=2)
    metric.update(
        torch.tensor([0, 0, 1, 1, 0]), torch.tensor([0.4, 0.3, 0.9, 1.0, 0.7]), torch.tensor([0, 1, 1, 0, VOID])
    )
    # Two pixels around 0.35 of which one is right, two around 0.95 of which one is right.
    assert metric.compute() == pytest.approx(100 * (abs(0.7 - 1) + abs(1.9 - 1)) / 4)
    assert Calibration(VOID).compute() is None
