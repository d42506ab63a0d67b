"""The command line: quick help, exit statuses, one clear message, and every command once."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from densekd.cli import app as cli


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process; return (exit status, everything printed)."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["densekd", *map(str, arguments)])
        monkeypatch.setattr(cli, "console", cli.Console(width=200))
        with pytest.raises(SystemExit) as stopped:
            sys.exit(cli.main())
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


@pytest.fixture
def recipe_file(recipe: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture(scope="session")
def trained(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_data import tiny_recipe

    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny_recipe(data_root)))
    command = [
        sys.executable,
        "-m",
        "densekd",
        "train",
        folder / "tiny.yaml",
        "--run",
        folder / "run",
        "training.steps=3",
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    # Nothing but our own words: no banner, no warning, no traceback.
    assert finished.stderr == ""
    assert "Lightning" not in finished.stdout
    assert "step 3/3" in finished.stdout
    return folder / "run"


def test_help_and_import_are_quick() -> None:
    """Meant are 1 s and 0.3 s beyond Python's own start; the limits leave room for a machine that does other things."""

    def seconds(*command: str) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds("-m", "densekd", "--help") < 2.0
    assert seconds("-c", "import densekd") - seconds("-c", "pass") < 0.6
    code = "import sys, densekd, densekd.cli.app; assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.btach_size=3", "data.btach_size: unknown key. Did you mean 'batch_size'?"),
        ("training.steps=many", "training.steps: Input should be a valid integer"),
        ("training.steps", "'training.steps' is no override; write key.path=value"),
        ("student.model=pspnett", "Unknown model 'pspnett'. Did you mean 'pspnet'?"),
        ("training.accumulate=3", "a batch of 4 does not divide into 3 parts"),
    ],
)
def test_wrong_recipe_exits_2(run: Any, recipe_file: Path, tmp_path: Path, override: str, message: str) -> None:
    status, printed = run("train", recipe_file, override, "--run", tmp_path / "run")
    assert (status, "error: " in printed) == (2, True), printed
    assert message in printed.replace("\n", " ")
    assert "Traceback" not in printed


def test_unknown_recipe_lists_the_shipped_ones(run: Any) -> None:
    status, printed = run("check", "quickstrat")
    assert status == 2
    assert "Did you mean 'quickstart'?" in printed
    assert "camvid-r18quarter-cwd" in printed


def test_wrong_option_exits_2(run: Any) -> None:
    status, printed = run("train", "--nonsense")
    assert status == 2
    assert "No such option: --nonsense" in printed


def test_failed_run_exits_1_and_debug_shows_where(run: Any, recipe_file: Path, tmp_path: Path) -> None:
    arguments = ("train", recipe_file, f"data.root={tmp_path / 'nowhere'}", "--run", tmp_path / "run")
    status, printed = run(*arguments)
    assert status == 1
    assert "nowhere: no such data folder" in printed.replace("\n", "")
    from densekd.errors import UserError

    with pytest.raises(UserError):
        run(*arguments, "--debug", "--overwrite")


def test_train_writes_the_run_folder(trained: Path) -> None:
    assert (trained / "student" / "model.safetensors").is_file()
    assert yaml.safe_load((trained / "recipe.yaml").read_text())["training"]["steps"] == 3
    assert json.loads((trained / "environment.json").read_text())["versions"]["torch"]


@pytest.mark.parametrize("place", [".", "student", "checkpoints/last.ckpt", "checkpoints/best.ckpt"])
def test_evaluate_reproduces_the_results(run: Any, trained: Path, tmp_path: Path, place: str) -> None:
    status, printed = run("evaluate", trained / place, "--json", tmp_path / "scores.json")
    assert status == 0, printed
    scores = json.loads((tmp_path / "scores.json").read_text())
    expected = json.loads((trained / "results.json").read_text())["student"]
    assert {k: scores[k] for k in ("miou", "macc", "aacc", "iou")} == {
        k: expected[k] for k in ("miou", "macc", "aacc", "iou")
    }
    assert f"{expected['miou']:.2f}" in printed


def test_evaluate_on_a_folder_and_split(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    status, printed = run("evaluate", trained, "--data", data_root, "--split", "train", "--json", tmp_path / "s.json")
    assert status == 0, printed
    scores = json.loads((tmp_path / "s.json").read_text())
    assert (scores["split"], scores["images"]) == ("train", 6)


def test_evaluate_on_a_folder_without_classes(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / "bare" / kind).mkdir(parents=True)
        (tmp_path / "bare" / kind / "test").symlink_to(data_root / kind / "val")
    status, printed = run("evaluate", trained, "--data", tmp_path / "bare", "--split", "test")
    assert status == 0, printed
    assert f"{json.loads((trained / 'results.json').read_text())['student']['miou']:.2f}" in printed


def test_evaluate_refuses_other_classes(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(data_root, tmp_path / "other")
    (tmp_path / "other" / "classes.json").write_text('{"names": ["x", "y", "z"]}')
    status, printed = run("evaluate", trained, "--data", tmp_path / "other")
    assert status == 1
    assert "classes (class0, class1, class2) are not the data's 3 (x, y, z)" in printed.replace("\n", " ")


def test_evaluate_what_is_no_model(run: Any, tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "text.ckpt").write_text("hello")
    status, printed = run("evaluate", tmp_path / "text.ckpt")
    assert status == 1
    assert "is a text file, not a checkpoint" in printed
    status, printed = run("evaluate", tmp_path)
    assert status == 1
    assert "no config.json and model.safetensors in this folder or its student/" in printed.replace("\n", " ")


def test_predict(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    status, printed = run("predict", trained, data_root / "images" / "val", "--out", tmp_path / "out")
    assert status == 0, printed
    labels = sorted((tmp_path / "out" / "labels").glob("*.png"))
    assert [p.stem for p in labels] == ["000", "001", "002"]
    assert np.array(Image.open(labels[0])).shape == (32, 48)
    assert set(np.unique(np.array(Image.open(labels[0])))) <= {0, 1, 2}
    assert Image.open(tmp_path / "out" / "overlays" / "000.png").size == (48, 32)


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
    assert "write height x width, for instance 512x1024" in printed


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
