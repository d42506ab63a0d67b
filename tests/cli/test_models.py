"""Commands that list and inspect."""

import json
from pathlib import Path
from typing import Any

import pytest


def test_inspect(run: Any, trained: Path) -> None:
    status, printed = run("inspect", "pspnet", "backbone=resnet50", "--size", "64x96")
    assert status == 0, printed
    assert "48,975" in printed.replace("'", ",")
    assert "[1, 2048, 8, 12]" in printed
    status, printed = run("inspect", trained, "--size", "32x32")
    assert status == 0, printed
    assert "[1, 3, 8, 8]" in printed
    status, printed = run("inspect", "pspnet", "--size", "big")
    assert status == 2
    assert "write height x width in pixels, each at least 1, for instance 512x1024" in printed


@pytest.mark.usefixtures("few_models")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("losses", ["cwd", "pixel", "temperature=1.0", "left out: activation boundaries"]),
        ("models", ["pspnet", "fpn", "resnet101"]),
        ("datasets", ["camvid", "folder"]),
        ("schema", ['"additionalProperties": false', "temperature"]),
        ("--version", ["densekd 0."]),
    ],
)
def test_lists(run: Any, command: str, words: list[str]) -> None:
    status, printed = run(command)
    assert status == 0
    for word in words[:1] if command == "schema" else words:
        assert word in printed


def test_inspect_lists_every_path(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "modules.json"
    status, _ = run("inspect", "gfl", "backbone=resnet18_025", "--size", "128x128", "--modules", "--json", out)
    assert status == 0
    table = json.loads(out.read_text())["tables"][-1]
    rows = {row["module"]: row["returns"] for row in table}
    assert rows["backbone.layer1.0.conv1"] == "[1, 16, 32, 32]"
    # The head runs on five levels, and the backbone returns four maps.
    assert [rows[f"head.cls@{level}"][:8] for level in range(5)] == ["[1, 19, "] * 5
    assert "of 4 (write [0] to [3])" in rows["backbone"]


def test_inspect_counts_what_its_help_says(run: Any) -> None:
    _, printed = run("inspect", "--help")
    assert "multiply-adds" in printed
    assert "FLOP" not in printed


def test_inspect_draws_features(run: Any, trained: Path) -> None:
    status, printed = run("inspect", trained, "--features", "--images", "2", "--pixels", "10")
    assert status == 0, printed
    assert "teacher: the recipe has no teacher" in printed
    assert f"features: {trained / 'features.html'}" in printed
    assert "class1 (10)" in (trained / "features.html").read_text(encoding="utf-8")
    status, printed = run("inspect", trained, "--features", "--tap", "head.nothing")
    assert status == 2
    assert "no module 'head.nothing'" in printed
    status, printed = run("inspect", trained, "a=1", "--features")
    assert status == 2
    assert "remove a=1" in printed
    status, printed = run("inspect", trained, "--tap", "logits")
    assert status == 2
    assert "belong to --features" in printed
