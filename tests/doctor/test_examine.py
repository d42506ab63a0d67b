"""Planted faults are named, and a healthy recipe is left in peace."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_data import make_folder
from training_runs import parsed

from densekd.cli.app import main
from densekd.doctor.case import Case, open_case, read_rows
from densekd.doctor.curve import examine_curve
from densekd.doctor.examine import examine
from densekd.doctor.labels import examine_labels
from densekd.doctor.leakage import examine_leakage
from densekd.doctor.sizes import examine_sizes
from densekd.doctor.teacher import examine_teacher
from densekd.doctor.terms import examine_terms
from densekd.models.families import CAFFE, Convention


def opened(recipe: dict[str, Any]) -> Case:
    return open_case(parsed(recipe), None)


def named(found: Any) -> list[str]:
    return [finding.name for finding in found]


def test_a_healthy_recipe_is_left_in_peace(healthy: dict[str, Any]) -> None:
    assert examine(parsed(healthy)) == []


def test_a_teacher_below_chance_is_named(healthy: dict[str, Any]) -> None:
    case = opened(healthy)
    assert case.built.scored_teacher is not None
    # Everything is the rarest class.
    rare = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    case.built.scored_teacher.register_forward_hook(lambda module, inputs, output: output * 0 + rare)
    found = {finding.name: finding for finding in examine_teacher(case)}
    # The background everywhere has its own frequency as IoU, and the other two classes have none.
    val: Any = case.built.validation
    pixels = sum(np.bincount(val.label(k).ravel(), minlength=256)[:3] for k in range(len(val)))
    frequent = 100 * pixels[0] / pixels.sum() / 3
    assert found["teacher-below-chance"].numbers["chance"] == pytest.approx(frequent)
    assert found["teacher-below-chance"].numbers["miou"] < frequent


@pytest.mark.parametrize(
    "wrong",
    [
        CAFFE,
        Convention("rgb", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
        Convention("rgb", (0.0, 0.0, 0.0), (8.0, 8.0, 8.0)),
    ],
    ids=["caffe", "255", "scaled"],
)
def test_another_input_convention_is_named(healthy: dict[str, Any], wrong: Convention) -> None:
    case = opened(healthy)
    teacher: Any = case.built.scored_teacher
    # The weights were trained with the family's convention; the model now believes another one.
    for module in teacher.modules():
        if hasattr(module, "convention") and hasattr(module, "scale"):
            module.convention = wrong
            module.mean = torch.tensor(wrong.mean).view(1, 3, 1, 1)
            module.scale = 1 / torch.tensor(wrong.std).view(1, 3, 1, 1)
    assert teacher.convention == wrong
    found = {finding.name: finding for finding in examine_teacher(case)}
    assert "ImageNet" in found["teacher-input"].evidence
    assert found["teacher-input"].numbers["better"] > found["teacher-input"].numbers["miou"] + 3


@pytest.mark.parametrize("order", [[1, 2, 0], [2, 0, 1], [0, 2, 1]])
def test_another_order_of_classes_is_named(healthy: dict[str, Any], order: list[int]) -> None:
    case = opened(healthy)
    assert case.built.scored_teacher is not None
    case.built.scored_teacher.register_forward_hook(lambda module, inputs, output: output[:, order])
    assert "teacher-classes" in named(examine_teacher(case))


@pytest.mark.parametrize("split", ["train", "val"])
def test_exchanged_labels_of_one_split_are_named(healthy: dict[str, Any], tmp_path: Path, split: str) -> None:
    root = make_folder(tmp_path / "data", {"train": 24, "val": 12})
    table = np.arange(256, dtype=np.uint8)
    table[:3] = [0, 2, 1]
    relabel(root, split, lambda label: table[label])
    healthy["data"]["root"] = str(root)
    found = examine_teacher(opened(healthy))
    assert named(found) == ["labels-swapped"]
    assert f"data.{split} alone" in found[0].evidence


def test_a_student_that_begins_better_than_its_teacher_is_named(
    healthy: dict[str, Any], trained: tuple[Path, Path]
) -> None:
    healthy["student"] = {"checkpoint": str(trained[1])}
    case = opened(healthy)
    assert case.built.scored_teacher is not None
    # One class is preferred.
    bias = torch.tensor([0.0, 4.0, 0.0]).view(1, 3, 1, 1)
    case.built.scored_teacher.register_forward_hook(lambda module, inputs, output: output + bias)
    assert "teacher-below-student" in named(examine_teacher(case))


def test_a_tap_that_sees_nothing_is_named(healthy: dict[str, Any]) -> None:
    case = opened(healthy)
    assert case.built.scored_teacher is not None
    # What the short name 'logits' stands for.
    tapped = case.built.scored_teacher.get_submodule("head.classifier")
    tapped.register_forward_hook(lambda module, inputs, output: output * 0)
    assert "tap-constant" in named(examine_terms(case))
    tapped.register_forward_hook(lambda module, inputs, output: output + float("nan"))
    assert named(examine_terms(case)) == ["tap-not-finite"]


@pytest.mark.parametrize(("weight", "name"), [(1e5, "term-too-strong"), (1e-7, "term-too-weak")])
def test_a_weight_that_drowns_or_vanishes_is_named(healthy: dict[str, Any], weight: float, name: str) -> None:
    healthy["distill"][0]["weight"] = weight
    assert named(examine_terms(opened(healthy))) == [name]


def test_temperatures_are_named(healthy: dict[str, Any]) -> None:
    healthy["distill"] = [{"method": "pixel", "weight": 1, "options": {"temperature": 100}}]
    assert named(examine_terms(opened(healthy))) == ["temperature-flat"]
    healthy["distill"] = [{"method": "pixel", "weight": 1, "options": {"temperature": 0.001}}]
    assert "temperature-one-hot" in named(examine_terms(opened(healthy)))


def test_a_student_larger_than_its_teacher_is_named(healthy: dict[str, Any]) -> None:
    healthy["student"]["options"] = {"backbone": "resnet18", "channels": 16}
    assert named(examine_sizes(opened(healthy))) == ["student-larger-than-teacher"]


def relabel(root: Path, split: str, change: Any) -> None:
    for path in (root / "labels" / split).glob("*.png"):
        Image.fromarray(change(np.array(Image.open(path))).astype(np.uint8)).save(path)


@pytest.mark.parametrize(
    ("split", "change", "name"),
    [
        ("train", lambda label: np.where(label == 2, 0, label), "class-never-learnt"),
        ("train", lambda label: np.where(label == 0, 255, label), "mostly-void"),
        ("val", lambda label: np.where(label == 255, 255, (label + 1) % 3), "splits-disagree"),
    ],
)
def test_labels_are_judged(healthy: dict[str, Any], tmp_path: Path, split: str, change: Any, name: str) -> None:
    root = make_folder(tmp_path / "data", {"train": 12, "val": 12})
    relabel(root, split, change)
    healthy["data"]["root"] = str(root)
    assert name in named(examine_labels(opened(healthy)))


def test_images_in_both_splits_are_named(healthy: dict[str, Any], tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"train": 12, "val": 12})
    for kind in ("images", "labels"):
        for path in sorted((root / kind / "train").iterdir())[:6]:
            (root / kind / "val" / path.name).write_bytes(path.read_bytes())
    healthy["data"]["root"] = str(root)
    found = examine_leakage(opened(healthy))
    assert named(found) == ["splits-leak"]
    assert found[0].numbers["duplicates"] == 6


@pytest.mark.parametrize(
    ("losses", "scores", "names"),
    [
        ([2 * 0.9**k for k in range(40)], [30, 60, 70, 70.5], []),
        ([2 * 0.9**k for k in range(20)] + [0.3 * 1.3**k for k in range(20)], [], ["loss-diverges"]),
        ([2.0] * 40, [], ["loss-does-not-fall"]),
        ([2.0, 1.0, float("nan")], [], ["loss-not-finite"]),
        ([2 * 0.9**k for k in range(40)], [10, 20, 28], ["schedule-too-short"]),
    ],
)
def test_curves(healthy: dict[str, Any], tmp_path: Path, losses: Any, scores: Any, names: list[str]) -> None:
    lines = ["step,loss,val/miou", *[f"{k},{loss}," for k, loss in enumerate(losses)]]
    lines += [f"{k},,{score}" for k, score in enumerate(scores)]
    (tmp_path / "metrics.csv").write_text("\n".join(lines))
    case = opened(healthy)
    found = examine_curve(Case(case.recipe, case.built, read_rows(tmp_path / "metrics.csv")))
    assert named(found) == names
    if names == ["schedule-too-short"]:
        # 8 after 10 is a ratio of 0.8, of which 8 * 0.8 / 0.2 is left.
        assert found[0].numbers["extrapolated"] == pytest.approx(32)


def test_the_command_says_what_it_found_and_leaves_the_run_alone(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained[1].rglob("*")}
    out = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["densekd", "doctor", str(trained[1]), "--quick", "--json", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    found = json.loads(out.read_text())
    assert ended.value.code == (0 if found["healthy"] else 1)
    assert {path: path.stat().st_mtime_ns for path in trained[1].rglob("*")} == before
    assert capsys.readouterr().err == ""


def test_detection_is_examined_as_far_as_it_goes(detection_recipe: dict[str, Any]) -> None:
    detection_recipe["teacher"] = {**detection_recipe["student"], "checkpoint": "untrained"}
    detection_recipe["distill"] = [{"method": "pkd", "weight": 1, "student": "neck.0", "teacher": "neck.0"}]
    detection_recipe["optimizer"]["lr"] = 1e-9
    found = named(examine(parsed(detection_recipe)))
    # Both splits have the same images, and random boxes hit nothing.
    assert {"splits-leak", "teacher-below-chance", "learning-rate-too-low"} <= set(found)


def test_a_mild_mixture_of_labels_is_named(healthy: dict[str, Any], tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"train": 24, "val": 12})
    table = np.arange(256, dtype=np.uint8)
    table[:3] = [0, 2, 1]
    # Half of the files have two classes exchanged: no order is the better one.
    for path in sorted((root / "labels" / "val").glob("*.png"))[:6]:
        Image.fromarray(table[np.array(Image.open(path))]).save(path)
    healthy["data"]["root"] = str(root)
    found = [finding for finding in examine_teacher(opened(healthy)) if finding.name == "labels-swapped"]
    assert len(found) == 1
    assert "'class1' and 'class2'" in found[0].evidence
    assert 0.3 <= found[0].numbers["here"] <= 0.7
