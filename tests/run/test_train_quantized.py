"""Distillation of an int8 student: exact resume, the package as it was trained, several parts of a batch."""

import copy
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import CPU, QUIET, StopAt, Wholes, assert_same, checkpoint, losses, parsed, run, weights

from densekd.errors import RecipeError
from densekd.models.open import open_model
from densekd.quantize import exportable, is_calibrated, plan_of
from densekd.recipe import parse_recipe
from densekd.run.folder import RunFolder
from densekd.run.train import train
from densekd.stopping import Interrupted


@pytest.fixture(scope="session")
def float_student(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a student that was trained in float."""
    from tiny_data import tiny_recipe

    folder = tmp_path_factory.mktemp("float") / "run"
    train(parse_recipe(tiny_recipe(data_root), "test"), RunFolder(folder), CPU, "refuse", QUIET)
    return folder


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    return Wholes(tmp_path_factory.mktemp("wholes"))


@pytest.fixture
def quantized(recipe: dict[str, Any], float_student: Path) -> dict[str, Any]:
    """The float student, quantized, learns from itself."""
    recipe["student"]["checkpoint"] = str(float_student)
    recipe["teacher"] = {"checkpoint": str(float_student)}
    recipe["distill"] = [
        {"method": "cwd", "weight": 3},
        {"method": "cwd", "weight": 1, "student": "pre_logits", "teacher": "pre_logits"},
    ]
    recipe["training"] |= {"steps": 8, "accumulate": 2, "validate_every": 3}
    recipe["training"]["quantise"] = {"calibrate": 6, "freeze_batchnorm": 0.5, "freeze_observers": 0.75}
    return recipe


def test_run_folder(quantized: dict[str, Any], tmp_path: Path) -> None:
    results = run(parsed(quantized), tmp_path / "run")
    # The package says what is int8, and opens as it was trained.
    config = json.loads((tmp_path / "run" / "student" / "config.json").read_text())
    assert config["quantization"]["steps"] == "power-of-two"
    assert "head.classifier" not in config["quantization"]["layers"]
    opened = open_model(tmp_path / "run")
    assert plan_of(opened.model) is not None
    assert is_calibrated(opened.model)
    # So does the checkpoint of the training, and it predicts the same.
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = opened.model(images)
        other = open_model(tmp_path / "run" / "checkpoints" / "last.ckpt").model(images)
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-6)
        assert torch.equal(exportable(opened.model)(images), expected)
    # What was scored is the quantized student.
    assert 0 <= results["student"]["miou"] <= 100


@pytest.mark.parametrize(("step", "precision"), [(1, "32"), (3, "bf16"), (5, "32"), (7, "32")])
def test_resume_is_exact(
    quantized: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wholes: Wholes,
    step: int,
    precision: str,
) -> None:
    """Before and after batch norms (step 4) and ranges (step 6) are frozen."""
    quantized["training"]["precision"] = precision
    recipe = parsed(quantized)
    whole = wholes.of(recipe)
    with monkeypatch.context() as patch:
        StopAt(patch, step, signal.SIGTERM)
        with pytest.raises(Interrupted):
            run(recipe, tmp_path / "parts")
    run(recipe, tmp_path / "parts", "resume")
    assert_same(whole, tmp_path / "parts")
    assert losses(whole) == losses(tmp_path / "parts")


def test_ranges_and_statistics_are_frozen_after_their_shares(quantized: dict[str, Any], tmp_path: Path) -> None:
    changed: dict[int, dict[str, torch.Tensor]] = {}
    for steps in (2, 4, 5, 6, 7):
        # The same training, looked at after fewer steps.
        content = copy.deepcopy(quantized)
        content["training"] |= {"steps": steps, "validate_every": 0}
        content["optimizer"] |= {"power": 0}
        content["training"]["quantise"] |= {"freeze_batchnorm": 4 / steps if steps > 4 else 1.0}
        content["training"]["quantise"] |= {"freeze_observers": 5 / steps if steps > 5 else 1.0}
        run(parsed(content), tmp_path / str(steps))
        changed[steps] = weights(tmp_path / str(steps))

    def same(a: int, b: int, ending: str) -> bool:
        keys = [key for key in changed[a] if key.endswith(ending)]
        assert keys
        return all(torch.equal(changed[a][key], changed[b][key]) for key in keys)

    assert not same(2, 4, "running_mean")
    assert same(4, 5, "running_mean")
    assert same(4, 7, "running_mean")
    assert not same(4, 5, "output_quantizer.high")
    assert same(5, 6, "output_quantizer.high")
    assert same(5, 7, "output_quantizer.high")
    assert not same(6, 7, "head.bottleneck.0.weight")


def test_a_student_without_weights_learns_with_zero_gamma(recipe: dict[str, Any], tmp_path: Path) -> None:
    """timm's residual blocks begin with a batch norm whose gamma is zero."""
    recipe["training"]["quantise"] = "int8"
    run(parsed(recipe), tmp_path / "run")
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run").values())


def test_a_quantized_student_begins_another_training(quantized: dict[str, Any], tmp_path: Path) -> None:
    quantized["training"] |= {"steps": 1}
    run(parsed(quantized), tmp_path / "first")
    quantized["student"]["checkpoint"] = str(tmp_path / "first")
    run(parsed(quantized), tmp_path / "again")
    del quantized["training"]["quantise"]
    run(parsed(quantized), tmp_path / "float")
    assert "quantization" not in json.loads((tmp_path / "float" / "student" / "config.json").read_text())


def test_a_detector(detection_recipe: dict[str, Any], tmp_path: Path) -> None:
    detection_recipe["training"]["quantise"] = {"keep_float": ["last", "neck"]}
    run(parsed(detection_recipe), tmp_path / "run")
    plan = plan_of(open_model(tmp_path / "run").model)
    assert plan is not None
    assert not [name for name in plan.layers if name.startswith("neck") or name in ("head.cls", "head.reg")]
    assert "package" in checkpoint(tmp_path / "run")["densekd"]


def test_an_unknown_part_to_keep_is_named(quantized: dict[str, Any], tmp_path: Path) -> None:
    quantized["training"]["quantise"] = {"keep_float": ["decoder"]}
    with pytest.raises(RecipeError, match=r"training\.quantise: keep_float: the model has no module 'decoder'"):
        run(parsed(quantized), tmp_path / "run")
