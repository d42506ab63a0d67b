"""Precision and loading processes that the machine decides, said and kept."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from training_runs import CPU, QUIET, assert_same, losses, parsed, run

from densekd.errors import UserError
from densekd.memory import SHARED
from densekd.recipe import load_recipe
from densekd.run import automatic
from densekd.run.automatic import choose_precision, choose_workers, decided, precision_remarks, require_precision
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.preflight import check
from densekd.run.train import train

GB = 10**9
MANY = 10**6


def gpus(monkeypatch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> None:
    """Let the machine have GPUs of these compute capabilities."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capabilities[index])


def machine(monkeypatch: pytest.MonkeyPatch, cores: int, memory: int = 64 * GB, forks: bool = True) -> None:
    """Let the machine have so many cores and so much free memory."""
    monkeypatch.setattr(automatic, "usable_cores", lambda: cores)
    monkeypatch.setattr(automatic, "free_memory", lambda: memory)
    monkeypatch.setattr(automatic, "forks", lambda: forks)
    monkeypatch.setattr(automatic, "local_processes", lambda: int(os.environ.get(SHARED, "1")))


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ([(8, 0)], "bf16"),
        ([(9, 0), (8, 6)], "bf16"),
        ([(7, 5)], "fp16"),
        ([(9, 0), (7, 0)], "fp16"),
        ([(6, 1)], "32"),
    ],
)
def test_precision_of_gpus(
    capabilities: list[tuple[int, int]], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, *capabilities)
    assert choose_precision(Launch()).value == precision
    # The processor beside them has its own.
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: False)
    assert choose_precision(CPU).value == "32"


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "32")])
def test_precision_of_a_processor(native: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: native)
    assert choose_precision(CPU).value == precision


@pytest.mark.parametrize(("native", "remarks"), [(True, 0), (False, 1)])
def test_bf16_is_remarked_where_it_is_slow(native: bool, remarks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: native)
    found = precision_remarks("bf16", CPU)
    assert len(found) == remarks
    assert all("training.precision=auto" in remark for remark in found)
    assert precision_remarks("32", CPU) == ()
    # The processor plays no part in a training on a GPU.
    gpus(monkeypatch, (8, 0))
    assert precision_remarks("bf16", Launch()) == ()


def test_apples_gpu_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: True)
    assert choose_precision(Launch(accelerator="mps")).value == "32"
    with pytest.raises(UserError, match="not on mps; write training"):
        require_precision("fp16", Launch(accelerator="mps"))
    require_precision("bf16", Launch(accelerator="mps"))


@pytest.mark.parametrize(
    ("cores", "memory", "processes", "workers"),
    [
        (16, 64 * GB, 1, 8),
        (6, 64 * GB, 1, 5),
        (1, 64 * GB, 1, 1),
        # Processes share cores and memory.
        (16, 64 * GB, 4, 3),
        (64, 64 * GB, 8, 7),
        (64, 16 * GB, 8, 2),
        (16, GB // 2, 1, 0),
        # A system that does not tell its memory.
        (16, 0, 1, 8),
    ],
)
def test_workers_beside_a_gpu(
    cores: int, memory: int, processes: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, (8, 0))
    machine(monkeypatch, cores, memory)
    monkeypatch.setenv(SHARED, str(processes))
    assert choose_workers(MANY, Launch()).value == workers
    # A short training is over before they have started.
    assert choose_workers(100, Launch()).value == 0


@pytest.mark.parametrize(("cores", "workers"), [(2, 0), (7, 0), (8, 1), (16, 2), (128, 4)])
def test_workers_on_a_processor(cores: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cores)
    assert choose_workers(MANY, CPU).value == workers


def test_no_workers_where_processes_start_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, (8, 0))
    machine(monkeypatch, 16, forks=False)
    choice = choose_workers(MANY, Launch())
    assert choice.value == 0
    assert "data.workers" in choice.reason


def automatically(recipe: dict[str, Any]) -> dict[str, Any]:
    return recipe | {"training": recipe["training"] | {"precision": "auto"}}


def test_what_is_written_stays(recipe: dict[str, Any]) -> None:
    recipe["data"] |= {"workers": 3}
    assert decided(parsed(recipe), CPU) == parsed(recipe)


def test_a_run_keeps_its_precision_on_another_machine(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe["training"] |= {"steps": 4, "precision": "bf16"}
    run(parsed(recipe), tmp_path / "written")
    left = parsed(automatically(recipe))
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: True)
    said = io.StringIO()
    train(left, RunFolder(tmp_path / "left"), CPU, "refuse", Console(file=said, width=200))
    assert "precision: bf16 (auto: this processor multiplies in it)" in said.getvalue()
    assert "loading processes: 0 (auto: a training of 16 images is short)" in said.getvalue()
    assert_same(tmp_path / "written", tmp_path / "left")
    assert losses(tmp_path / "written") == losses(tmp_path / "left")
    # The precision is the run's, the number of processes that of each start.
    kept = load_recipe(tmp_path / "left" / "recipe.yaml")
    assert (kept.training.precision, kept.data.workers) == ("bf16", "auto")
    # A machine without bf16 goes on with it.
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: False)
    said = io.StringIO()
    train(left, RunFolder(tmp_path / "left"), CPU, "resume", Console(file=said, width=200))
    assert "precision: bf16 (as this run began)" in said.getvalue()
    assert_same(tmp_path / "written", tmp_path / "left")


def test_another_start_decides_anew(recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe["training"] |= {"steps": 1}
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: False)
    train(parsed(automatically(recipe)), RunFolder(tmp_path / "run"), CPU, "refuse", QUIET)
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: True)
    train(parsed(automatically(recipe)), RunFolder(tmp_path / "run"), CPU, "overwrite", QUIET)
    assert load_recipe(tmp_path / "run" / "recipe.yaml").training.precision == "bf16"


def test_check_says_what_was_chosen(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "cpu_has_bf16", lambda: True)
    table = check(parsed(automatically(recipe)), CPU.devices)
    rows = dict(zip(map(str, table.columns[0].cells), table.columns[1].cells, strict=True))
    assert rows["precision"] == "bf16"
    assert rows["loading processes"] == "0"
