from pathlib import Path

import numpy as np
import pytest
import torch

from densekd.data.files import SegmentationFiles
from densekd.data.folder import folder
from densekd.tasks.segmentation import Segmentation
from densekd.tasks.segmentation.class_weights import balanced_weights, class_frequency


@pytest.fixture
def files(data_root: Path) -> SegmentationFiles:
    return folder(data_root, "train")


def test_class_frequency_counts_labelled_pixels(files: SegmentationFiles) -> None:
    labels = np.stack([files.label(index) for index in range(6)])
    expected = [float((labels == c).sum() / (labels != 255).sum()) for c in range(3)]
    frequency = class_frequency(files)
    assert frequency.dtype == torch.float64
    assert frequency.tolist() == pytest.approx(expected, abs=1e-12)
    assert frequency.sum().item() == pytest.approx(1)


def test_balanced_weights_follow_the_formula_and_average_to_one() -> None:
    frequency = torch.tensor([0.7, 0.25, 0.05, 0.0], dtype=torch.float64)
    weights = balanced_weights(frequency)
    raw = [1.8439, 4.1838, 14.7801, 50.4983]  # 1 / log(1.02 + frequency)
    assert weights.dtype == torch.float32
    assert weights.mean().item() == pytest.approx(1)
    assert weights.tolist() == pytest.approx([value / (sum(raw) / 4) for value in raw], rel=1e-4)


def test_a_task_counts_its_balanced_weights_on_the_training_labels(files: SegmentationFiles) -> None:
    task = Segmentation(3, 255, "balanced", files=files)
    assert task.class_weights is not None
    assert torch.equal(task.class_weights, balanced_weights(class_frequency(files)))
    with pytest.raises(ValueError, match="counted on training labels, and there are none"):
        Segmentation(3, 255, "balanced")


def test_as_many_weights_as_classes() -> None:
    task = Segmentation(3, 255, (1, 2, 0.5))
    assert task.class_weights is not None
    assert task.class_weights.tolist() == [1, 2, 0.5]
    with pytest.raises(ValueError, match="class_weights: 2 values for 3 classes"):
        Segmentation(3, 255, (1, 2))
