"""Score tables on the screen, for both tasks."""

import io
from typing import Any

import pytest
from rich.table import Table

from densekd.metric_names import MetricName, MetricNames
from densekd.report.tables import comparison_table, score_table
from densekd.tasks import Detection, Segmentation
from densekd.terminal import Terminal

PIXELS: dict[str, Any] = {
    "miou": 48.0,
    "fwiou": 60.0,
    "macc": 57.25,
    "aacc": 88.8,
    "miou_interval": [45.0, 51.0],
    "ece": 3.0,
} | {"iou": {"sky": 68.0, "pole": None}, "images": 101, "parameters": 1_500_000}
PIXELS["metrics"] = Segmentation.metrics.to_json()
BOXES: dict[str, Any] = (
    {"ap": 38.25, "ap50": 58.75, "ap75": 39.25, "ap_small": None, "ap_medium": 35.25, "ap_large": 47.25}
    | {"ar_1": 30.0, "ar_10": 45.0, "ar_100": 50.0, "ar_small": None, "ar_medium": 44.0, "ar_large": 60.0}
    | {"ap_by_class": {"cell": 42.25, "ghost": None}, "images": 73, "parameters": 2_000_000}
)
BOXES["metrics"] = Detection.metrics.to_json()
# Neither a percentage, nor the higher the better, nor of classes.
ERROR = MetricNames(
    (MetricName("error", "error", "m", "lower", 2), MetricName("ratio", "ratio", "", "higher", 3)),
    ("error", "ratio"),
)
METERS: dict[str, Any] = {"error": 1.25, "ratio": 0.5, "images": 9, "parameters": 1_000_000}
METERS["metrics"] = ERROR.to_json()


def rows(table: Table) -> list[list[str]]:
    screen = io.StringIO()
    Terminal(file=screen, width=200).print(table)
    lines = screen.getvalue().replace("┃", "│").splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if "│" in line]


def test_scores_of_pixels() -> None:
    assert rows(score_table(PIXELS)) == [
        ["class", "IoU %"],
        *(["sky", "68.00"], ["pole", "–"]),
        *(["mIoU", "48.00"], ["fwIoU", "60.00"], ["mAcc", "57.25"], ["aAcc", "88.80"], ["calibration error", "3.00"]),
        ["mIoU, 95 % over images", "45.00 to 51.00"],
    ]


def test_scores_of_boxes() -> None:
    assert rows(score_table(BOXES)) == [
        ["class", "AP %"],
        *(["cell", "42.25"], ["ghost", "–"]),
        *(["AP", "38.25"], ["AP50", "58.75"], ["AP75", "39.25"]),
        *(["APs", "–"], ["APm", "35.25"], ["APl", "47.25"]),
        *(["AR 1", "30.00"], ["AR 10", "45.00"], ["AR 100", "50.00"]),
        *(["ARs", "–"], ["ARm", "44.00"], ["ARl", "60.00"]),
    ]


def test_comparisons() -> None:
    pixels = {"split": "val", "metrics": PIXELS["metrics"], "student": PIXELS, "teacher": PIXELS, "baseline": None}
    assert rows(comparison_table(pixels)) == [
        ["model", "mIoU %", "mAcc %", "aAcc %", "parameters"],
        ["teacher", "48.00", "57.25", "88.80", "1.50 M"],
        ["student distilled", "48.00", "57.25", "88.80", "1.50 M"],
    ]
    boxes = {"split": "val", "metrics": BOXES["metrics"], "student": BOXES, "teacher": None, "baseline": BOXES}
    assert rows(comparison_table(boxes)) == [
        ["model", "AP %", "AP50 %", "AP75 %", "APs %", "APm %", "APl %", "parameters"],
        ["student alone", "38.25", "58.75", "39.25", "–", "35.25", "47.25", "2.00 M"],
        ["student", "38.25", "58.75", "39.25", "–", "35.25", "47.25", "2.00 M"],
    ]


def test_scores_of_a_task_without_classes_whose_headline_is_to_be_low() -> None:
    assert rows(score_table(METERS)) == [["score", "value"], ["error m", "1.250"], ["ratio", "0.5000"]]
    compared = {"split": "val", "metrics": METERS["metrics"], "student": METERS, "teacher": None, "baseline": METERS}
    assert rows(comparison_table(compared)) == [
        ["model", "error m ↓", "ratio", "parameters"],
        ["student alone", "1.250", "0.5000", "1.00 M"],
        ["student", "1.250", "0.5000", "1.00 M"],
    ]


@pytest.mark.parametrize("task", [Segmentation(3, 255), Detection(3)], ids=["segmentation", "detection"])
def test_what_is_computed_has_a_name(task: Any) -> None:
    scores, names = task.metric().compute(), task.metrics
    assert {name.key for name in names.columns} | {names.by_class.key} <= scores.keys()


def test_milliseconds_of_runs_that_measured_them() -> None:
    results = {"metrics": PIXELS["metrics"], "split": "val", "student": PIXELS, "teacher": PIXELS}
    timed = rows(comparison_table(results | {"latency": {"milliseconds": {"student": 3.14}}}))
    assert timed[0][-2:] == ["parameters", "ms"]
    assert [row[-1] for row in timed[1:]] == ["–", "3.14"]
    assert rows(comparison_table(results))[0][-1] == "parameters"
