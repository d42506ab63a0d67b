"""COCO's scores: equal to pycocotools, right on paper, and the same from two processes as from one."""

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from forked import in_two_processes
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densekd.errors import UserError
from densekd.ops.boxes import Detections
from densekd.tasks.detection import BoxMetric

CLASSES = 4
SUMMARY = [
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
]


class Image(NamedTuple):
    """Stands for a DetectionItem."""

    number: int
    truth: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def image(number: int, boxes: object = (), labels: object = (), crowd: object = None, area: object = None) -> Image:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    sides = (corners[:, 2:] - corners[:, :2]).astype(np.float64)
    return Image(
        number,
        (
            corners,
            np.array(labels, np.int64),
            np.zeros(len(corners), bool) if crowd is None else np.array(crowd, bool),
            sides.prod(1) if area is None else np.array(area, np.float64),
        ),
    )


def detections(boxes: object = (), scores: object = (), labels: object = ()) -> Detections:
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(labels, dtype=torch.int64),
    )


def fabricate(seed: int, amount: int = 14, crowded: int = 3) -> list[tuple[Image, Detections]]:
    """Boxes of all sizes, a sixth of them crowds, with the areas of masks; found shifted, doubled, mislabelled.

    Every fourth image has no boxes, every fifth no detections; scores have two digits, so that many are equal, and one
    image has ``crowded`` x 60 detections of one class. The last class is found but never there.
    """
    rng = np.random.default_rng(seed)
    pairs = []
    for k in range(amount):
        N = 0 if k % 4 == 3 else int(rng.integers(1, 12))
        start = rng.uniform(0, 300, (N, 2))
        sides = np.exp(rng.uniform(1.5, 5.5, (N, 2)))
        boxes, labels = np.concatenate([start, start + sides], 1), rng.integers(0, CLASSES - 1, N)
        item = image(7 * k + 5, boxes, labels, rng.random(N) < 1 / 6, sides.prod(1) * rng.uniform(0.4, 1, N))
        copies = np.zeros(0, int) if k % 5 == 4 else rng.integers(0, max(N, 1), 3 * N)
        found = boxes[copies] + rng.normal(0, 1, (len(copies), 4)) * rng.choice([0, 1, 6], (len(copies), 1))
        said = np.where(rng.random(len(copies)) < 0.8, labels[copies], rng.integers(0, CLASSES, len(copies)))
        if k == 2:
            many = 60 * crowded
            found = np.concatenate([found, np.tile([10, 10, 60, 90], (many, 1)) + rng.normal(0, 9, (many, 4))])
            said = np.concatenate([said, np.zeros(many, int)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        pairs.append((item, detections(found, rng.integers(0, 100, len(found)) / 100, said)))
    return pairs


def counted(pairs: list[tuple[Image, Detections]], classes: int = CLASSES) -> BoxMetric:
    metric = BoxMetric(classes)
    for item, found in pairs:
        metric.update(item, found)
    return metric


def official(pairs: list[tuple[Image, Detections]]) -> tuple[list[float], list[float]]:
    """What pycocotools says: its summary, and AP by class; -1 where there is nothing to find."""

    def sized(box: list[float]) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    truth = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        truth.dataset = {
            "images": [{"id": item.number} for item, _ in pairs],
            "categories": [{"id": c} for c in range(CLASSES)],
            "annotations": [
                {"image_id": item.number, "category_id": int(label), "bbox": sized(box.tolist())}
                | {"iscrowd": int(crowd), "area": float(area)}
                for item, _ in pairs
                for box, label, crowd, area in zip(*item.truth, strict=True)
            ],
        }
        for k, annotation in enumerate(truth.dataset["annotations"], 1):
            annotation["id"] = k
        truth.createIndex()
        results = [
            {"image_id": item.number, "category_id": int(label), "bbox": sized(box.tolist()), "score": float(score)}
            for item, found in pairs
            for box, score, label in zip(*found, strict=True)
        ]
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][..., 0, -1]
    by_class = [precision[:, :, c] for c in range(CLASSES)]
    return list(evaluation.stats), [one[one > -1].mean() if (one > -1).any() else -1 for one in by_class]


def as_official(value: float | None) -> float:
    return -1 if value is None else value / 100


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_pycocotools(seed: int) -> None:
    pairs = fabricate(seed)
    assert max(len(found.scores) for _, found in pairs) > 100
    summary, by_class = official(pairs)
    scores = counted(pairs).compute()
    assert [as_official(scores[key]) for key in SUMMARY] == pytest.approx(summary, rel=0, abs=1e-12)
    assert [as_official(value) for value in scores["ap_by_class"]] == pytest.approx(by_class, rel=0, abs=1e-12)
    assert 0 < scores["ap"] < 100
    assert scores["ap_by_class"][-1] is None  # found but never there


def test_one_of_two_boxes_is_found_on_paper() -> None:
    """Found with IoU 0.8: right at 7 of 10 thresholds; half recalled, so 51 of the 101 recall levels are reached."""
    truth = image(1, [[0, 0, 10, 10], [50, 50, 150, 150]], [0, 0])
    scores = counted([(truth, detections([[50, 50, 150, 130]], [0.5], [0]))], 2).compute()
    assert scores["ap50"] == scores["ap75"] == pytest.approx(100 * 51 / 101)
    assert scores["ap"] == pytest.approx(100 * 51 / 101 * 0.7)
    assert (scores["ap_small"], scores["ap_medium"], scores["ap_large"]) == (0, None, pytest.approx(70))
    assert scores["ar_1"] == scores["ar_100"] == pytest.approx(35)
    assert scores["ap_by_class"] == [pytest.approx(100 * 51 / 101 * 0.7), None]
    assert scores["ap50_by_class"] == [pytest.approx(100 * 51 / 101), None]


def test_a_crowd_is_neither_missed_nor_are_its_members_false() -> None:
    truth = image(1, [[0, 0, 10, 10], [20, 0, 90, 60]], [0, 0], crowd=[False, True])
    inside = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    assert counted([(truth, detections(inside, [0.5, 0.9, 0.8], [0, 0, 0]))], 1).compute()["ap"] == 100
    assert counted([(truth, detections(inside[:1], [0.5], [0]))], 1).compute()["ap"] == 100


@pytest.mark.parametrize("boxes", [0, 2])
def test_nothing_found(boxes: int) -> None:
    truth = image(1, [[0, 0, 9, 9]] * boxes, [0] * boxes)
    scores = counted([(truth, detections()), (image(2), detections())]).compute()
    assert scores["ap"] == scores["ar_100"] == (0 if boxes else None)
    assert scores["ap_by_class"] == [0 if boxes else None, None, None, None]


@pytest.mark.parametrize("classes", [0, 3])
def test_no_image_or_no_class(classes: int) -> None:
    scores = BoxMetric(classes).compute()
    assert {scores[key] for key in SUMMARY} == {None}
    assert scores["ap_by_class"] == [None] * classes


def test_false_boxes_on_empty_images_cost_precision() -> None:
    there = (image(1, [[0, 0, 9, 9]], [0]), detections([[0, 0, 9, 9]], [0.4], [0]))
    nowhere = (image(2), detections([[0, 0, 9, 9]], [0.9], [0]))
    assert counted([there, nowhere], 1).compute()["ap"] == pytest.approx(50)


def test_reset_forgets_and_an_image_counts_once() -> None:
    metric = counted(fabricate(0))
    metric.reset()
    assert metric.compute()["ap"] is None
    once_differentiable = counted(fabricate(1)).compute()
    assert counted(fabricate(1) * 2).compute() == once_differentiable


def test_the_library_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(UserError, match=r"pip install 'densekd\[coco\]'"):
        counted(fabricate(0)).compute()


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    counted(fabricate(0)).compute()
    assert capfd.readouterr() == ("", "")


def share(rank: int, world: int, out: str) -> None:
    """Score a share of the images; the first of them is in both."""
    store = torch.distributed.FileStore(f"{out}/store", world)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=world)
    pairs = fabricate(3)
    metric = counted([pairs[0], *pairs[1 + rank :: world]])
    metric.gather()
    torch.save(metric.compute(), f"{out}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    in_two_processes(share, 2, str(tmp_path))
    alone = counted(fabricate(3)).compute()
    assert [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)] == [alone, alone]
