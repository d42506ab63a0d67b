"""The worst images of an evaluation, from what is known of each: pixels, depths, matches."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from densekd.metric_names import MetricName
from densekd.run.image_headline import worst_images


def files(count: int) -> Any:
    return SimpleNamespace(items=[SimpleNamespace(image=f"{place}.png") for place in range(count)])


def test_worst_segmentation() -> None:
    # Hits, labels and predictions of two classes; the second image is void, the third has one class.
    counts = [[[2, 0], [4, 2], [2, 4]], [[0, 0], [0, 0], [5, 1]], [[6, 0], [6, 0], [6, 0]]]
    found = worst_images(torch.tensor(counts), files(3), MetricName("miou", "mIoU"))
    # IoU 2 / 4 and 0 / 6, and 6 / 6.
    assert found == [{"image": "0.png", "miou": 25.0}, {"image": "2.png", "miou": 100.0}]


def test_worst_depths_are_the_highest() -> None:
    scores = torch.tensor([[0.25, 1, 90, 1], [0.5, 2, 80, 1], [0, 0, 0, 0], *[[0.125, 1, 95, 1]] * 5])
    found = worst_images(scores, files(8), MetricName("absrel", "AbsRel", "", "lower"))
    assert [one["absrel"] for one in found] == [0.5, 0.25, 0.125, 0.125, 0.125]
    assert [one["image"] for one in found[:2]] == ["1.png", "0.png"]


def test_worst_detections() -> None:
    every, half = 1023, 31
    rows = [
        # Two boxes, one of which is found at every threshold; then nothing to find; then one found at half of them.
        *[[0, -1, 0, 0, 0], [0, 1, -1, 2, 0], [0, 1, 0.9, every, 0]],
        *[[1, -1, 0, 0, 0], [1, 0, 0.8, 0, 0]],
        *[[2, -1, 0, 0, 0], [2, 0, -1, 1, 0], [2, 0, 0.7, half, 0], [2, 1, 0.9, 0, 0]],
    ]
    found = worst_images(torch.tensor(rows), files(3), MetricName("ap", "AP"))
    assert [one["image"] for one in found] == ["2.png", "0.png"]
    # Of 101 recalls those up to a half are reached: 51.
    assert [one["ap"] for one in found] == pytest.approx([50.0, 100 * 51 / 101])


def test_other_tasks_have_no_worst_images() -> None:
    assert worst_images(None, files(2), MetricName("score", "score")) == []
    assert worst_images(torch.zeros(2, 7), files(2), MetricName("score", "score")) == []
