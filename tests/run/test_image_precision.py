"""Average precision from matches: the number of COCO's own evaluation, for images drawn more than once, too."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densekd.compare.statistics import paired_by_image
from densekd.ops.boxes import Detections
from densekd.run.image_precision import average_precision, count_images
from densekd.tasks.detection.matches import match_rows
from densekd.tasks.detection.metric import BoxMetric

_CLASSES = 2


def boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    corner = generator.uniform(0, 60, (count, 2))
    size = generator.uniform(8, 50, (count, 2))
    return np.concatenate([corner, corner + size], 1)


def image(generator: np.random.Generator) -> tuple[Any, Detections]:
    """Fabricate an image with boxes, some of them crowds, and what was found: moved boxes and wrong ones."""
    count = int(generator.integers(0, 5))
    truth = boxes(generator, count)
    labels = generator.integers(0, _CLASSES, count)
    crowds = generator.random(count) < 0.2
    areas = (truth[:, 2:] - truth[:, :2]).prod(1)
    near = np.concatenate([truth + generator.normal(0, 3, truth.shape), boxes(generator, 3)])
    # Scores are coarse, so that some of different images are equal; whose order a copy of an image changes
    # are those of one image, which therefore differ.
    scores = generator.permutation(20)[: len(near)] / 20 + 0.01
    classes = np.concatenate([labels, generator.integers(0, _CLASSES, 3)])
    found = Detections(torch.from_numpy(near), torch.from_numpy(scores), torch.from_numpy(classes))
    return (truth, labels, crowds, areas), found


def scored(chosen: list[tuple[Any, Detections]]) -> tuple[BoxMetric, float | None]:
    metric = BoxMetric(_CLASSES)
    for number, (truth, found) in enumerate(chosen):
        metric.update(SimpleNamespace(number=number, truth=truth), found)
    return metric, metric.compute()["ap"]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6))
def test_average_precision_is_cocos_for_any_selection(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    images = [image(generator) for _ in range(count)]
    metric, whole = scored(images)
    rows = match_rows(metric.images, _CLASSES).numpy()
    assert count_images(rows) == count
    times = np.stack([np.ones(count), generator.multinomial(count, np.full(count, 1 / count))])
    ours = average_precision(rows, times)
    assert ours[0] == pytest.approx(whole or 0.0, abs=1e-6)
    # The images drawn, each as often as it was drawn, scored by COCO's evaluation.
    drawn = [images[k] for k in range(count) for _ in range(int(times[1, k]))]
    assert ours[1] == pytest.approx(scored(drawn)[1] or 0.0, abs=1e-6)


def test_detectors_are_paired_by_image() -> None:
    generator = np.random.default_rng(1)
    images = [image(generator) for _ in range(8)]
    metric, whole = scored(images)
    rows = match_rows(metric.images, _CLASSES).numpy()
    nothing = rows[rows[:, 2] <= 0]
    found = paired_by_image([rows, rows], [nothing, nothing], draws=100)
    assert whole is not None
    assert found.value == pytest.approx(whole, abs=1e-6)
    assert found.certain
    assert found.basis == "seeds and images"
