"""A whole training of a detector: files, scores, pictures with boxes, exact resume."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import StopAt, assert_same, checkpoint, losses, parsed, run

import densekd
from densekd.seal import read_document
from densekd.stopping import Interrupted

LEVELS = [f"{kind}.{k}" for kind in ("cls", "reg") for k in range(5)]


@pytest.fixture
def distilled(detection_recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe with every kind of term that a detector has: one tap, levels, boxes as target, weights that learn."""
    detection_recipe["teacher"] = detection_recipe["student"] | {"checkpoint": "untrained"}
    detection_recipe["distill"] = [
        {"method": "cwd", "weight": 5, "student": "cls.{0,1}", "teacher": "cls.{0,1}"},
        {"method": "ld", "weight": 0.25, "student": LEVELS, "teacher": LEVELS},
        {"method": "fgd", "weight": 1, "student": "neck.0", "teacher": "neck.0"},
    ]
    detection_recipe["training"] |= {"precision": "bf16", "clip": 10.0, "validate_every": 3}
    return detection_recipe


def test_run_folder(distilled: dict[str, Any], tmp_path: Path) -> None:
    distilled["baseline"] = "train"
    results = run(parsed(distilled), tmp_path / "run")
    files = {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert {"results.json", "report.html", "student/model.safetensors", "baseline/results.json"} <= files
    assert {"checkpoints/last.ckpt", "checkpoints/best.ckpt"} <= files
    assert [file for file in files if file.startswith("predictions/") and ".truth." in file]
    assert results == read_document(tmp_path / "run" / "results.json")
    for model in ("teacher", "baseline", "student"):
        assert 0 <= results[model]["ap"] <= 100
        assert results[model]["images"] == 3
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "AP" in page
    assert "mIoU" not in page
    rows = losses(tmp_path / "run")
    assert {"task/dfl", "distill/ld", "distill/fgd", "distill/cwd-1", "val/ap"} <= set(rows[-1])
    model = densekd.load(tmp_path / "run")
    found = model.detect(model(torch.rand(1, 3, 64, 64)), torch.tensor([[64, 64]]))
    assert len(found) == 1
    assert {name.partition(".")[0] for name, _ in model.named_parameters()} == {"backbone", "neck", "head"}


@pytest.mark.parametrize(("student", "step"), [("gfl", 1), ("gfl", 4), ("faster_rcnn", 3)])
def test_resume_is_exact(
    distilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student: str, step: int
) -> None:
    if student == "faster_rcnn":  # it draws its samples at random
        model = {"model": student, "options": {"backbone": "resnet18_025", "channels": 8}}
        distilled |= {"student": model, "teacher": model | {"checkpoint": "untrained"}}
        distilled["distill"] = distilled["distill"][::2]
    recipe = parsed(distilled)
    run(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, step, signal.SIGTERM)
        with pytest.raises(Interrupted, match=f"Stopped at step {step} of 6"):
            run(recipe, tmp_path / "parts")
    assert checkpoint(tmp_path / "parts")["global_step"] == step
    run(recipe, tmp_path / "parts", "resume")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
