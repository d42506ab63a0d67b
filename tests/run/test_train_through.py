"""Trainings whose student's features go on through the rest of the teacher's head (SimKD, CrossKD)."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import StopAt, assert_same, checkpoint, losses, parsed, run

import densekd
from densekd.builders.build import build
from densekd.data.sampler import Draw
from densekd.errors import RecipeError
from densekd.stopping import Interrupted

SIMKD = {
    "method": "pixel",
    "weight": 1,
    "student": "features.3",
    "teacher": "logits",
    "adapter": "conv-bn-relu",
    "through": "head[3]",
    "resize_to": "teacher",
}
CROSSKD = {
    "method": "l2",
    "options": {"normalize": "none"},
    "weight": 1,
    "student": "head.cls_tower.0@{0,1,2,3,4}",
    "teacher": "cls.{0,1,2,3,4}",
    "through": ["head.cls_tower.{1,2}", "head.cls"],
    "adapter": "conv",
}


@pytest.fixture
def simkd(recipe: dict[str, Any]) -> dict[str, Any]:
    """Segmentation: the student's last features through PSPNet's head, in mixed precision."""
    recipe["student"]["options"] = {"backbone": "mobilenetv3_small_050", "channels": 16, "dropout": 0.3}
    options = {"backbone": "resnet18_025", "channels": 32}
    recipe["teacher"] = {"model": "pspnet", "options": options, "checkpoint": "untrained"}
    recipe["distill"] = [SIMKD]
    recipe["training"] |= {"precision": "bf16", "accumulate": 2, "clip": 1.0, "validate_every": 0, "steps": 4}
    return recipe


@pytest.fixture
def crosskd(detection_recipe: dict[str, Any]) -> dict[str, Any]:
    """Detection: what the student's tower gives after one convolution, through the rest of the teacher's tower."""
    model = {"model": "gfl", "options": {"backbone": "resnet18_025", "channels": 16, "depth": 1}}
    teacher = {"model": "gfl", "options": model["options"] | {"channels": 32, "depth": 3}, "checkpoint": "untrained"}  # type: ignore[operator]
    detection_recipe |= {"student": model, "teacher": teacher, "distill": [CROSSKD]}
    detection_recipe["training"] |= {"steps": 2, "log_every": 1}
    return detection_recipe


def test_simkd_is_resumed_exactly_and_leaves_no_trace(
    simkd: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = parsed(simkd)
    run(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, 2, signal.SIGTERM)
        with pytest.raises(Interrupted):
            run(recipe, tmp_path / "parts")
    before = checkpoint(tmp_path / "parts")["state_dict"]
    run(recipe, tmp_path / "parts", "resume")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    after = checkpoint(tmp_path / "whole")["state_dict"]
    outside = [key for key in after if not key.startswith("student.")]
    assert outside
    assert all(key.startswith("terms.pixel.adapter.") for key in outside)
    assert not torch.equal(before["terms.pixel.adapter.0.weight"], after["terms.pixel.adapter.0.weight"])
    assert {n.partition(".")[0] for n, _ in densekd.load(tmp_path / "whole").named_parameters()} == {"backbone", "head"}


def test_the_teacher_of_simkd_does_not_change(simkd: dict[str, Any], tmp_path: Path) -> None:
    built = build(parsed(simkd))
    assert built.teacher is not None
    # Its batch norms are fused, also in the head that the student's features go through.
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in built.teacher.model.modules())
    before = {key: value.clone() for key, value in built.teacher.model.state_dict().items()}
    batch = built.training.collate([built.training[Draw(index, index)] for index in range(2)])
    built.distiller.train()
    built.distiller.losses(batch, 1)["distill/pixel"].backward()
    grads = {name for name, p in built.distiller.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name.partition(".")[0] for name in grads} == {"student", "terms"}
    # The student's own head is not part of it.
    assert not any(name.startswith("student.head") for name in grads)
    assert all(torch.equal(before[key], value) for key, value in built.teacher.model.state_dict().items())


def test_crosskd_trains(crosskd: dict[str, Any], tmp_path: Path) -> None:
    run(parsed(crosskd), tmp_path / "run")
    # The row of the validation has no losses.
    rows = [row for row in losses(tmp_path / "run") if row["loss"]]
    assert len(rows) == 2
    names = [f"distill/l2-{k}" for k in range(5)]
    assert all(float(row[name]) > 0 for row in rows for name in names)
    keys = checkpoint(tmp_path / "run")["state_dict"]
    outside = sorted(key for key in keys if not key.startswith("student."))
    assert outside == [f"terms.l2-{k}.adapter.weight" for k in range(5)]
    assert json.loads((tmp_path / "run" / "student" / "config.json").read_text())["options"]["depth"] == 1


def test_the_auxiliary_head_stays_where_it_is_gone_through(simkd: dict[str, Any]) -> None:
    simkd["teacher"]["options"] |= {"auxiliary_channels": 8}
    built = build(parsed(simkd))
    assert built.teacher is not None
    assert built.teacher.model.auxiliary is None
    simkd["distill"][0] |= {"student": "features.2", "teacher": "logits", "through": "auxiliary[2]"}
    built = build(parsed(simkd))
    assert built.teacher is not None
    assert built.teacher.model.auxiliary is not None


def test_a_teacher_cache_has_no_head_to_run(simkd: dict[str, Any], tmp_path: Path) -> None:
    simkd["teacher"]["cache"] = {"folder": str(tmp_path / "cache"), "views": 2}
    with pytest.raises(RecipeError, match=r"^distill\.0\.through: runs the teacher's head at every step"):
        build(parsed(simkd))
