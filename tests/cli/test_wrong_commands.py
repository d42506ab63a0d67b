"""Wrong commands: each ends with one message that says what, where and how, and with no traceback."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_data import make_folder

# What no message may contain: our own confession, tracebacks, the words of libraries that check values.
RIDDLES = ("should not happen", "Traceback", "Input should", "unable to parse", "[Errno", "Lightning cannot")


@pytest.fixture
def place(recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe ``t.yaml`` and files that are none of what commands want."""
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(yaml.safe_dump(recipe))
    Path("file.txt").write_text("hello")
    Path("empty").mkdir()
    Path("x.onnx").write_bytes(b"\x08\x07")
    Path("latin.yaml").write_bytes(b"name: \xe9\n")
    Path("bad.py").write_text("1 / 0\n")
    Path("runs/old").mkdir(parents=True)
    Path("runs/old/notes.txt").write_text("mine")
    return tmp_path


def check(run: Any, words: list[str], status: int, message: str) -> None:
    found, printed = run(*words)
    text = " ".join(printed.split())
    assert found == status, printed
    assert message in text, printed
    assert not [riddle for riddle in RIDDLES if riddle in text], printed


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        # Keys of the recipe as options, and values of options.
        ("train t.yaml --steps 5", 2, "--steps. A key of the recipe is changed without dashes: training.steps=5"),
        ("train t.yaml --batch-size=2", 2, "data.batch_size=2"),
        ("check t.yaml --lr 0.1", 2, "optimizer.lr=0.1"),
        ("train t.yaml --training.steps 5", 2, "training.steps=5"),
        ("train t.yaml --seed 5", 2, "training.seed=5 (or data.split.seed, teacher.cache.seed)"),
        ("train t.yaml --iters 5", 2, "training.steps=5"),
        ("train t.yaml --nonsense 5", 2, "key.path=value without dashes: training.steps=100"),
        ("evaluate x --flip both", 2, "key=value without dashes: flip=horizontal"),
        ("train t.yaml --nodes two", 2, "--nodes two: an integer is expected."),
        ("inspect fpn --images 0", 2, "--images 0: at least 1 is expected."),
        ("convert x y --num-classes=x", 2, "--num-classes x: an integer is expected."),
        ("data check t.yaml --workers -1", 2, "--workers -1: at least 0 is expected."),
        ("data shard t.yaml out --megabytes 0", 2, "--megabytes 0: at least 1 is expected."),
        ("trian t.yaml", 2, "No such command 'trian'."),
        ("train", 2, "Missing argument"),
        # Where it runs.
        ("train t.yaml --accelerator gpux", 2, "Did you mean 'gpu'? Known: auto, cpu, cuda, gpu, mps, tpu."),
        ("train t.yaml --nodes 0", 2, "--nodes 0: the number of machines, at least 1."),
        ("train t.yaml --devices x", 1, "--devices x: write a number of devices, a list as 0,2, or auto."),
        ("train t.yaml --devices 0", 1, "--devices 0: write a number of devices"),
        ("train t.yaml --accelerator cpu --devices 0,1", 2, "a list chooses among GPUs"),
        ("train t.yaml --strategy dpp", 2, "--strategy dpp: unknown strategy. Did you mean 'ddp'?"),
        ("train t.yaml --accelerator cpu --strategy fsdp", 1, "--strategy fsdp needs GPUs"),
        # Recipes.
        ("train nowhere.yaml", 2, "nowhere.yaml: there is no such recipe"),
        ("train empty", 2, "empty: a folder without recipe.yaml"),
        ("train latin.yaml", 2, "latin.yaml: no text in UTF-8"),
        ("train file.txt", 2, "file.txt: a recipe is a mapping"),
        ("check t.yaml name=a/b", 2, "'.', and a letter, digit or '_' first, got 'a/b'."),
        ("check t.yaml augment.crop=[32]", 2, "at most 32768 or null, got [32]."),
        ("check t.yaml data.batch_size=many", 2, "an integer of at least 1 and of at most 1000000, got 'many'."),
        ("check t.yaml data.dataset=os:getcwd", 2, "data.dataset: the dataset 'os:getcwd' is Python's own"),
        ("check t.yaml data.dataset=bad:files", 2, "cannot be imported: ZeroDivisionError: division by zero"),
        # Run folders.
        ("train t.yaml --run file.txt/x", 1, "file.txt is a file, so that file.txt/x cannot be a run folder"),
        ("train t.yaml --run runs/old", 1, "runs/old exists. Continue it with --resume"),
        ("train t.yaml --run runs/old --overwrite", 1, "no run folder; it is not overwritten"),
        # Models and files.
        ("inspect fpn --size 0x3", 2, "--size 0x3: write height x width in pixels, each at least 1"),
        ("inspect fpn --size \N{SUPERSCRIPT TWO}x3", 2, "write height x width"),
        ("models --size 7x7", 2, "at 7 x 7 cannot be computed; take another size"),
        ("convert x.onnx y.pth", 2, "x.onnx: an ONNX file, which is a way out"),
        ("inspect x.onnx", 2, "x.onnx: an ONNX file, which is a way out"),
        ("evaluate nowhere", 1, "nowhere: no such file or folder"),
        ("data shard t.yaml file.txt", 1, "file.txt: there is something else of this name"),
        ("data prepare cityscapes nowhere", 1, "is this the root of Cityscapes?"),
    ],
)  # fmt: skip
def test_a_wrong_command_is_one_message(run: Any, place: Path, words: str, status: int, message: str) -> None:
    before = {str(path) for path in place.rglob("*")}
    check(run, words.split(), status, message)
    left = {str(path) for path in place.rglob("*") if "__pycache__" not in path.parts}
    assert left == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("accelerator", ["cuda", "gpu", "mps", "tpu"])
def test_an_accelerator_that_is_not_there_is_said(run: Any, place: Path, accelerator: str) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("there is a GPU of Apple's")
    message = f"--accelerator {accelerator}: this machine has none"
    check(run, ["train", "t.yaml", "--accelerator", accelerator], 1, message)


def test_a_name_that_is_too_long_is_said(run: Any, place: Path) -> None:
    check(run, ["train", "t.yaml", "--run", "n" * 300], 1, "the name is too long for the disk")


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.root=nowhere"],
        # The first step fails: the mean of one image is one value for each channel.
        ["student={model: pspnet, options: {backbone: resnet18_025, channels: 8}}", "training.accumulate=4"],
    ],
)
def test_a_failed_start_does_not_block_the_corrected_command(run: Any, place: Path, overrides: list[str]) -> None:
    status, printed = run("train", "t.yaml", *overrides, "--run", "runs/new")
    assert status == 1, printed
    assert not Path("runs/new").exists()
    status, printed = run("train", "t.yaml", "training.steps=1", "--run", "runs/new")
    assert status == 0, printed
    # What was trained before stays where a new start fails.
    status, printed = run("train", "t.yaml", "data.root=nowhere", "--run", "runs/new", "--overwrite")
    assert status == 1, printed
    assert Path("runs/new/student/model.safetensors").is_file()
    # What is delivered may be read by whom the user allows it.
    mode = stat.S_IMODE(Path("runs/new/student/model.safetensors").stat().st_mode)
    assert mode == stat.S_IMODE(Path("t.yaml").stat().st_mode)


def test_square_brackets_are_shown_as_they_are(run: Any, recipe: dict[str, Any], tmp_path: Path) -> None:
    names = ["road [wet]", "car [/x]", "end\\"]
    root = make_folder(tmp_path / "data [a]", {"train": 3, "val": 2})
    (root / "classes.json").write_text(json.dumps({"names": names}))
    recipe["data"] |= {"root": str(root), "batch_size": 2}
    recipe["training"] |= {"steps": 1}
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(recipe))
    for command in (["data", "check", path], ["check", path]):
        status, printed = run(*command)
        assert status == 0, printed
        assert [name for name in names if name not in printed] == []
    folder = tmp_path / "a[/b]"
    status, printed = run("train", path, "--run", folder)
    assert status == 0, printed
    assert f"student: {folder}" in printed
    status, printed = run("evaluate", folder)
    assert status == 0, printed
    assert [name for name in names if name not in printed] == []
    status, printed = run("evaluate", folder, "--data", tmp_path / "[/none]")
    assert (status, "[/none]" in printed) == (2, True), printed


# What other systems lack: macOS does not count free pages; Windows has no sysconf, and neither of these modules.
NO_PROC = """
import pathlib
import densekd.memory
densekd.memory._MEMINFO = densekd.memory._OWN_GROUPS = pathlib.Path("nothing")
"""
MACOS = """
real = os.sysconf
def sysconf(name):
    if name == "SC_AVPHYS_PAGES":
        raise ValueError("unrecognized configuration name")
    return real(name)
os.sysconf = sysconf
"""
WINDOWS = """
del os.sysconf
for name in ("resource", "fcntl", "termios", "pwd", "grp"):
    sys.modules[name] = None
"""


@pytest.mark.parametrize(("changes", "memory"), [(MACOS, "GB of this process"), (WINDOWS, "does not count it")])
def test_check_runs_on_other_systems(recipe: dict[str, Any], tmp_path: Path, changes: str, memory: str) -> None:
    recipe["data"]["cache"] = "auto"
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(recipe))
    start = (
        f"import os, sys\nimport lightning, torchvision, timm\n{NO_PROC}"
        f"{changes}\nsys.argv = ['densekd', 'check', {str(path)!r}]\nfrom densekd.cli.app import main\nmain()\n"
    )
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert memory in done.stdout
