"""Commands that train: run folder, what is recorded of a call, preflight, teacher cache."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml


def test_train_writes_the_run_folder(trained: Path) -> None:
    assert (trained / "student" / "model.safetensors").is_file()
    assert yaml.safe_load((trained / "recipe.yaml").read_text())["training"]["steps"] == 3
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["versions"]["torch"]
    assert environment["overrides"] == ["training.steps=3"]


def test_resume_and_overwrite_exclude_each_other(run: Any, recipe_file: Path) -> None:
    status, printed = run("train", recipe_file, "--resume", "--overwrite")
    assert status == 2
    assert "--resume continues a run and --overwrite deletes it" in printed.replace("\n", " ")


def test_check_estimates_and_leaves_nothing(run: Any, recipe_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    status, printed = run("check", recipe_file)
    assert status == 0, printed
    assert "6, 6 of them decoded and verified" in printed
    assert "task/ce" in printed
    assert "s a step" in printed
    assert "GB of this process" in printed
    assert set(tmp_path.rglob("*")) == before


def test_check_finds_that_the_baseline_is_missing(run: Any, recipe_file: Path, tmp_path: Path) -> None:
    status, printed = run("check", recipe_file, f"baseline={tmp_path / 'nowhere'}")
    assert status == 1
    assert "nowhere: no such file or folder" in printed.replace("\n", "")


def test_check_tries_the_share_of_one_of_several_processes(run: Any, recipe: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "pooled.yaml"
    # The image's mean is one value of each channel where a process has one image.
    recipe["student"] = {"model": "pspnet", "options": {"backbone": "resnet18_025", "channels": 8}}
    path.write_text(yaml.safe_dump(recipe))
    status, printed = run("check", path, "--devices", "4")
    assert status == 0, printed
    words = " ".join(printed.replace("│", " ").split())
    assert "4, 1 images each at a time; one of them is tried" in words
    assert "layers synchronized over 4 processes" in words
    assert not torch.distributed.is_initialized()
    status, printed = run("check", path, "training.sync_batchnorm=off", "--devices", "4")
    words = " ".join(printed.split())
    assert (status, "cannot learn from a single value per channel" in words) == (1, True), printed
    assert "training.sync_batchnorm: auto" in words
    status, printed = run("check", path, "--devices", "0,1,2")
    assert (status, "a batch of 4 does not divide among 3 processes" in " ".join(printed.split())) == (2, True), printed
    status, printed = run("check", path, "--devices", "none")
    assert (status, "write a number of devices" in printed) == (1, True), printed


def test_a_teacher_cache_is_written_once(run: Any, recipe: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "cached.yaml"
    recipe["teacher"] = {**recipe["student"], "checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    path.write_text(yaml.safe_dump(recipe))
    status, printed = run("cache", path)
    assert (status, "teacher.cache is missing" in printed) == (2, True), printed
    options = (f"teacher.cache.folder={tmp_path / 'cache'}", "teacher.cache.views=2", "teacher.cache.top_k=1")
    for _ in range(2):
        status, printed = run("cache", path, *options)
        assert status == 0, printed
        # Two of 3 x 8 x 8 values in bf16, an index of one byte, a checksum.
        assert "teacher cache: 6 images x 2 views, 0.328 kB each: 3.94e-06 GB in" in printed
        written = (tmp_path / "cache" / "000000.safetensors").stat().st_mtime_ns
    assert (tmp_path / "cache" / "000000.safetensors").stat().st_mtime_ns == written
    status, printed = run("cache", path, *options, "teacher.cache.views=3")
    assert (status, "views.count is 2 there and 3 here" in printed) == (1, True), printed


def test_the_next_command_trusts_what_the_recipe_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from densekd.cli.console import print_next
    from densekd.cli.train import _own_modules
    from densekd.trust import trusting

    for model, expected in (("mine.nets:Small", ["mine.nets"]), ("hf:owner/name", []), ("fpn", []), ("other:Net", [])):
        (tmp_path / "config.json").write_text(json.dumps({"model": model, "task": "segmentation"}))
        with trusting(["mine", "hf"]):
            assert _own_modules(tmp_path) == expected
    print_next("densekd", "export", "runs/own", trust=["mine.nets"])
    assert capsys.readouterr().out.strip() == "next: densekd export runs/own --trust mine.nets"
