"""The benchmark's literal step is ours, term for term; its results are written and read."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    import step as module

    return module


def small(step: ModuleType, name: str) -> object:
    pair = replace(step.PAIRS[name], size=(64, 64), batch=2)
    if name == "gfl-cwd":
        tiny = ("gfl", {"backbone": "resnet18_025", "channels": 32, "depth": 1})
        return replace(pair, teacher=tiny, student=tiny, classes=3)
    if name == "pspnet-cwd":
        return replace(pair, teacher=step.psp(18, 8), student=step.psp(18, 8))
    return replace(pair, teacher=step.mit(0), student=step.mit(0), classes=23)


@pytest.mark.parametrize("name", ["pspnet-cwd", "segformer-cgd", "gfl-cwd"])
def test_the_two_steps_are_the_same_mathematics(step: ModuleType, name: str) -> None:
    scene = step.Scene.of(small(step, name), "cpu")
    for module in (*scene.teacher.modules(), *scene.student.modules()):
        if isinstance(module, torch.nn.Dropout2d | torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    steps = {variant: scene.step(variant) for variant in step.VARIANTS}
    literal = [steps["literal"]().item() for _ in range(3)]
    for variant, tolerance in (("float32", 1e-3), ("bf16 teacher", 0.05), ("bf16", 0.05), ("cached teacher", 0.05)):
        assert [steps[variant]().item() for _ in range(3)] == pytest.approx(literal, rel=tolerance), variant
    assert literal[2] != pytest.approx(literal[0], rel=1e-3)


def test_results_are_written_and_read(step: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(step.ON_CPU, "pspnet-cwd", small(step, "pspnet-cwd"))
    said: list[str] = []
    options = ["--only", "pspnet-cwd", "--machine", "test", "--results", str(tmp_path), "--device", "cpu"]
    step.main([*options, "--repeats", "1", "--variants", "literal", "float32"], said.append)
    results = json.loads((tmp_path / "step-test.json").read_text())
    variants = results["pairs"]["pspnet-cwd"]["variants"]
    assert list(variants) == ["literal", "float32"]
    assert all(row["seconds"] > 0 and row["peak_bytes"] > 0 for row in variants.values())
    step.main([*options, "--table"], said.append)
    assert said[0] == said[1]
    assert "| pspnet-cwd, 64 x 64, B = 2 | literal |" in said[0]


def test_scaling_goes_up_in_processes(step: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import scaling

    tiny = replace(scaling.BASE, teacher=step.psp(18, 0), student=step.psp(18, 0), size=(64, 64))
    monkeypatch.setitem(scaling.AXES, "batch", [tiny, replace(tiny, batch=4)])
    said: list[str] = []
    options = ["--machine", "test", "--results", str(tmp_path), "--device", "cpu", "--axes", "batch", "--repeats", "1"]
    scaling.main(options, said.append)
    rows = json.loads((tmp_path / "scaling-test.json").read_text())["axes"]["batch"]
    assert [row["batch"] for row in rows] == [2, 4]
    assert rows[1]["peak_bytes"] > rows[0]["peak_bytes"]
    assert sys.modules["scaling"] is scaling
