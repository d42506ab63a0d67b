"""Resuming on other data, another teacher or other processes: refused with what differs, or accepted and recorded."""

import gzip
import io
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny_data import make_folder
from training_runs import CPU, QUIET, StopAt, assert_same, checkpoint, losses, parsed, run, weights
from typer.testing import CliRunner

import densekd
from densekd.cli.app import app
from densekd.errors import UserError
from densekd.models.fpn import fpn
from densekd.models.package import PackageConfig, save_package
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.provenance import inputs_of
from densekd.run.train import train
from densekd.stopping import Interrupted

OPTIONS = {"backbone": "resnet18_025", "channels": 16}


def write_teacher(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    names = [f"class{k}" for k in range(3)]
    shutil.rmtree(folder, ignore_errors=True)
    save_package(fpn(3, **OPTIONS), PackageConfig("fpn", OPTIONS, names, [[0, 0, 0]] * 3), folder)


@pytest.fixture
def content(recipe: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A distillation of four steps on data of its own, whose teacher takes classes by their number."""
    make_folder(tmp_path / "data", {"train": 6, "val": 3})
    write_teacher(tmp_path / "teacher", 1)
    recipe["data"]["root"] = str(tmp_path / "data")
    recipe["teacher"] = {"checkpoint": str(tmp_path / "teacher"), "classes": "by-number"}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    recipe["training"] |= {"steps": 4, "log_every": 1}
    return recipe


def interrupt(content: dict[str, Any], folder: Path, step: int = 2) -> None:
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, step, signal.SIGTERM)
        with pytest.raises(Interrupted):
            run(parsed(content), folder)


def resume(content: dict[str, Any], folder: Path, accept: bool = False, launch: Launch = CPU) -> str:
    """Resume a run and return what was said."""
    said = io.StringIO()
    console = Console(file=said, width=1000)
    train(parsed(content), RunFolder(folder), launch, "resume", console, accept=accept)
    return said.getvalue()


def change_pixels(root: Path) -> None:
    path = root / "data" / "images" / "train" / "003.png"
    picture = Image.open(path)
    picture.putpixel((5, 5), (1, 2, 3))
    picture.save(path)


def remove_one(root: Path) -> None:
    for kind in ("images", "labels"):
        (root / "data" / kind / "train" / "004.png").unlink()


def add_one(root: Path) -> None:
    for kind in ("images", "labels"):
        folder = root / "data" / kind / "train"
        shutil.copy(folder / "004.png", folder / "new.png")


def name_classes(root: Path, names: list[str]) -> None:
    (root / "data" / "classes.json").write_text(json.dumps({"names": names}))


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "pixels": (change_pixels, r"data\.train: 1 image is changed \(003\.png\)"),
    "fewer": (remove_one, r"data\.train: 1 image is gone \(004\.png\)"),
    "more": (add_one, r"data\.train: 1 image is new \(new\.png\)"),
    "renamed": (
        lambda root: name_classes(root, ["class0", "tree", "class2"]),
        "data.train: classes are class0, tree, class2, and were class0, class1, class2; data.val: classes are",
    ),
    "swapped": (
        lambda root: name_classes(root, ["class0", "class2", "class1"]),
        "data.train: classes are class0, class2, class1, and were class0, class1, class2",
    ),
    "teacher": (lambda root: write_teacher(root / "teacher", 2), "teacher: it has other weights"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused_or_accepted(content: dict[str, Any], tmp_path: Path, change: str) -> None:
    folder = tmp_path / "run"
    interrupt(content, folder)
    apply, message = CHANGES[change]
    apply(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message) as refused:
        resume(content, folder)
    assert "--accept-changes" in str(refused.value)
    # Nothing of the run was touched.
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "accepted changes: " in resume(content, folder, accept=True)
    assert checkpoint(folder)["global_step"] == 4
    recorded = json.loads((folder / "environment.json").read_text())["accepted_changes"]
    assert len(recorded) == 1
    assert len(recorded[0]["what"]) in (1, 2)
    # What was accepted is what the run is made of from now on.
    assert resume(content, folder).count("accepted") == 0


def test_several_changes_are_one_message(content: dict[str, Any], tmp_path: Path) -> None:
    interrupt(content, tmp_path / "run")
    change_pixels(tmp_path)
    remove_one(tmp_path)
    write_teacher(tmp_path / "teacher", 2)
    found = r"1 image is gone \(004\.png\), 1 image is changed \(003\.png\); teacher: .*; processes: 2, was 1\. Bring"
    with pytest.raises(UserError, match=found):
        resume(content, tmp_path / "run", launch=Launch("cpu", "2", strategy="ddp"))


def test_a_copy_elsewhere_and_other_harmless_keys_go_on(content: dict[str, Any], tmp_path: Path) -> None:
    run(parsed(content), tmp_path / "whole")
    interrupt(content, tmp_path / "run")
    shutil.copytree(tmp_path / "data", tmp_path / "copy", copy_function=shutil.copyfile)
    content["data"] |= {"root": str(tmp_path / "copy"), "workers": 1}
    content["training"] |= {"checkpoint_every": 1}
    content["logging"] = []
    said = resume(content, tmp_path / "run")
    assert "accepted" not in said
    assert "changed" not in said
    assert_same(tmp_path / "whole", tmp_path / "run")
    assert losses(tmp_path / "whole") == losses(tmp_path / "run")


@pytest.mark.parametrize(("workers", "others"), [(0, 1), (1, 0), (2, 1), (1, 2)])
def test_another_number_of_workers_is_exact(content: dict[str, Any], tmp_path: Path, workers: int, others: int) -> None:
    content["training"] |= {"accumulate": 2, "validate_every": 3}
    run(parsed(content), tmp_path / "whole")
    content["data"]["workers"] = workers
    interrupt(content, tmp_path / "run", 3 if workers else 2)
    content["data"]["workers"] = others
    resume(content, tmp_path / "run")
    assert_same(tmp_path / "whole", tmp_path / "run")
    assert losses(tmp_path / "whole") == losses(tmp_path / "run")


def test_another_number_of_workers_is_exact_for_detection(detection_recipe: dict[str, Any], tmp_path: Path) -> None:
    detection_recipe["training"] |= {"steps": 4}
    run(parsed(detection_recipe), tmp_path / "whole")
    detection_recipe["data"]["workers"] = 2
    interrupt(detection_recipe, tmp_path / "run")
    detection_recipe["data"]["workers"] = 0
    resume(detection_recipe, tmp_path / "run")
    assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("record", ["missing", "damaged", "newer"])
def test_without_a_record_a_run_goes_on_and_says_so(content: dict[str, Any], tmp_path: Path, record: str) -> None:
    interrupt(content, tmp_path / "run")
    path = inputs_of(RunFolder(tmp_path / "run"))
    if record == "missing":
        path.unlink()
    elif record == "damaged":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.write_bytes(gzip.compress(b'{"format": 99}'))
    said = resume(content, tmp_path / "run")
    assert said.count("what has changed since it began cannot be known") == 1
    assert checkpoint(tmp_path / "run")["global_step"] == 4


def test_another_commit_is_said(content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(content, tmp_path / "run")
    monkeypatch.setattr(densekd, "__version__", "9.9")
    assert "goes on with 9.9" in resume(content, tmp_path / "run")


@pytest.mark.parametrize("accept", [False, True])
def test_a_finished_run_stays_as_it_is(content: dict[str, Any], tmp_path: Path, accept: bool) -> None:
    folder = tmp_path / "run"
    run(parsed(content), folder)
    name_classes(tmp_path, ["class0", "class2", "class1"])
    before, results = weights(folder), (folder / "results.json").read_bytes()
    with pytest.raises(UserError, match="is finished, and what it was trained on has changed"):
        resume(content, folder, accept)
    assert results == (folder / "results.json").read_bytes()
    assert all(torch.equal(before[key], value) for key, value in weights(folder).items())


def test_the_doors_have_the_flag(content: dict[str, Any], tmp_path: Path) -> None:
    interrupt(content, tmp_path / "run")
    change_pixels(tmp_path)
    with pytest.raises(UserError, match=r'accept_changes belongs to existing="resume"'):
        densekd.train(content, tmp_path / "run", accept_changes=True)
    with pytest.raises(UserError, match="1 image is changed"):
        densekd.train(content, tmp_path / "run", existing="resume", accelerator="cpu")
    densekd.train(content, tmp_path / "run", existing="resume", accelerator="cpu", accept_changes=True)
    assert checkpoint(tmp_path / "run")["global_step"] == 4


def test_the_flag_alone_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", str(tmp_path / "recipe.yaml"), "--accept-changes"])
    assert done.exit_code != 0
    assert "belongs to --resume" in done.output


def test_processes_are_counted() -> None:
    assert CPU.processes() == 1
    assert Launch("cpu", "2", strategy="ddp").processes() == 2
    assert Launch("cpu", "2", 3, "ddp").processes() == 6


def test_what_a_run_is_made_of_is_in_its_environment(content: dict[str, Any], tmp_path: Path) -> None:
    train(parsed(content), RunFolder(tmp_path / "run"), CPU, "refuse", QUIET)
    inputs = json.loads((tmp_path / "run" / "environment.json").read_text())["inputs"]
    assert {split: one["images"] for split, one in inputs["data"].items()} == {"train": 6, "val": 3}
    assert len(inputs["teacher"]) == 16
    assert inputs["code"].startswith(densekd.__version__)
