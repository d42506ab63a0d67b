"""Two processes on gloo: the same parameters on both, and the same loss as one process on the joined batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import in_two_processes
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from training_runs import QUIET, run

from densekd.api.load import load
from densekd.recipe import dump_recipe, load_recipe, parse_recipe
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.train import train


def by_command(recipe: Path, folder: Path) -> None:
    """Train in two processes through the command line, which starts the second."""
    command = [sys.executable, "-m", "densekd", "train", str(recipe), "--run", str(folder), "--accelerator", "cpu"]
    command += ["--devices", "2", "--strategy", "ddp"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def by_rank(rank: int, recipe: Path, folder: Path, port: int) -> None:
    """Train as one of two processes that something else has started, as a cluster does."""
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    train(load_recipe(recipe), RunFolder(folder), Launch("cpu", "2", strategy="ddp"), "refuse", QUIET)


def trained(recipe: Path, folder: Path, processes: int) -> dict[str, Any]:
    """Train, in one process in this one; return the losses, the student's weights and its score."""
    if processes == 1:
        run(load_recipe(recipe), folder)
    else:
        in_two_processes(by_rank, recipe, folder, find_free_network_port())
    return found(folder)


def found(folder: Path) -> dict[str, Any]:
    """Return the losses of a run, the student's weights and its score."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    column = rows[0].index("loss")
    return {
        "losses": [float(row[column]) for row in rows[1:] if row[column]],
        "weights": torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"],
        "scores": json.loads((folder / "results.json").read_text())["student"],
    }


@pytest.mark.timeout(900)
def test_what_losses_learn_and_remember_is_equal_on_all_processes(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["student"] = {"model": "ddp_modules:Plain"}
    recipe["teacher"] = {"model": "ddp_modules:Plain", "checkpoint": "untrained"}
    recipe["distill"] = [
        {"method": "ddp_modules:Watched", "weight": 0.001, "student": "features", "teacher": "features"}
        | {"options": {"folder": str(tmp_path)}}
    ]
    recipe["training"] = {"steps": 4, "log_every": 1, "accumulate": 2, "clip": 1.0, "precision": "bf16"}
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(parse_recipe(recipe, "test")))
    by_command(path, tmp_path / "run")
    losses = found(tmp_path / "run")["losses"]
    assert len(losses) == 4
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    # The statistics of the losses' batch norms too.
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert first["memory.project_head.1.running_mean"].any()
    assert first["memory.memory.pixels.pointer"].any()
    assert first["game.discriminator.score.weight"].shape == (1, 512, 4, 4)


@pytest.mark.timeout(900)
def test_two_processes_equal_one(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["student"] = {"model": "ddp_modules:Plain"}
    recipe["teacher"] = {"model": "ddp_modules:Plain", "options": {"channels": 16}, "checkpoint": "untrained"}
    recipe["optimizer"] = {"method": "sgd", "lr": 0.05, "weight_decay": 0.0}
    recipe["training"] = {"steps": 5, "precision": 32, "log_every": 1}
    results = {}
    for processes in (1, 2):
        folder = tmp_path / f"run{processes}"
        options = {"folder": str(tmp_path / f"ranks{processes}")}
        Path(options["folder"]).mkdir()
        recipe["distill"] = [
            {"method": "cwd", "weight": 1},
            {"method": "ddp_modules:SumOfWeights", "weight": 1, "options": options},
        ]
        path = tmp_path / f"recipe{processes}.yaml"
        path.write_text(dump_recipe(parse_recipe(recipe, "test")))
        results[processes] = trained(path, folder, processes)
        results[processes]["ranks"] = [
            json.loads(p.read_text()) for p in sorted(Path(options["folder"]).glob("rank*.json"))
        ]
    one, two = results[1], results[2]
    assert len(two["ranks"]) == 2
    assert two["ranks"][0] == two["ranks"][1]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    for key, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][key], value, rtol=1e-5, atol=1e-6, msg=key)
    assert one["scores"]["miou"] == pytest.approx(two["scores"]["miou"], abs=0.5)


@pytest.mark.timeout(900)
def test_one_image_for_each_process_equals_both_in_one(recipe: dict[str, Any], tmp_path: Path) -> None:
    """CIRKDv2 trains so; PSPNet's smallest pooled map is a single value of each channel in each process."""
    recipe["student"] = {"model": "ddp_modules:Pooled"}
    recipe["teacher"] = {"model": "ddp_modules:Pooled", "options": {"channels": 24}, "checkpoint": "untrained"}
    recipe["distill"] = [
        {"method": "fitnet", "weight": 1, "student": "pre_logits", "teacher": "pre_logits", "adapter": "conv-bn-relu"}
    ]
    recipe["data"]["batch_size"] = 2
    recipe["optimizer"] = {"method": "sgd", "lr": 0.01, "weight_decay": 0.0}
    # Batch norms over two values amplify rounding by one over their distance: of four seeds this is the one whose
    # values lie furthest apart. It differs by a quarter of what is allowed; another by twice that after three steps.
    recipe["training"] = {"steps": 2, "precision": 32, "log_every": 1, "seed": 2}
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(parse_recipe(recipe, "test")))
    one, two = (trained(path, tmp_path / f"run{processes}", processes) for processes in (1, 2))
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert "terms.fitnet.adapter.1.running_var" in one["weights"]
    for key, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][key], value, rtol=1e-5, atol=1e-5, msg=key)
    # What was trained so is a student like any other, and the run says how it was trained.
    norm = load(tmp_path / "run2", trust=["ddp_modules"]).net.head.bottleneck[1]
    assert type(norm) is torch.nn.BatchNorm2d
    assert torch.equal(norm.running_var, two["weights"]["student.net.head.bottleneck.1.running_var"])
    environment = json.loads((tmp_path / "run2" / "environment.json").read_text())
    assert environment["processes"] == 2
    assert environment["batch_norm"].endswith("layers synchronized over 2 processes")
    environment = json.loads((tmp_path / "run1" / "environment.json").read_text())
    assert environment["processes"] == 1


@pytest.mark.timeout(900)
def test_two_processes_equal_one_through_the_teachers_head(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["student"] = {"model": "ddp_modules:Plain"}
    teacher = {"model": "pspnet", "options": {"backbone": "resnet18_025", "channels": 16}, "checkpoint": "untrained"}
    simkd = {"method": "cwd", "weight": 1, "student": "features", "adapter": "conv", "through": "head[3]"}
    recipe |= {"teacher": teacher, "distill": [simkd | {"resize_to": "teacher"}]}
    recipe["optimizer"] = {"method": "sgd", "lr": 0.05, "weight_decay": 0.0}
    recipe["training"] = {"steps": 4, "precision": 32, "log_every": 1}
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(parse_recipe(recipe, "test")))
    one, two = (trained(path, tmp_path / f"run{processes}", processes) for processes in (1, 2))
    assert "terms.cwd.adapter.weight" in one["weights"]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    for key, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][key], value, rtol=1e-5, atol=1e-6, msg=key)


@pytest.mark.timeout(900)
def test_two_processes_equal_one_for_boxes(detection_recipe: dict[str, Any], tmp_path: Path) -> None:
    # Statistics of batch norm depend on how a batch is split; the divisors of the losses do not.
    options = {"backbone": "resnet18_025", "channels": 16, "depth": 1, "freeze": ["stem", "stage1"]}
    model = {"model": "gfl", "options": options}
    detection_recipe |= {"student": model, "teacher": model | {"checkpoint": "untrained"}, "augment": {}}
    detection_recipe["data"] |= {"short_side": 64, "batch_size": 4}
    detection_recipe["optimizer"] = {"method": "sgd", "lr": 0.01, "weight_decay": 0.0}
    detection_recipe["training"] = {"steps": 4, "precision": 32, "log_every": 1}
    levels = [f"{kind}.{k}" for kind in ("cls", "reg") for k in range(5)]
    detection_recipe["distill"] = [
        {"method": "cwd", "weight": 1, "student": "cls.0", "teacher": "cls.0"},
        {"method": "ld", "weight": 1, "student": levels, "teacher": levels},
    ]
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(parse_recipe(detection_recipe, "test")))
    one, two = (trained(path, tmp_path / f"run{processes}", processes) for processes in (1, 2))
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    for key, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][key], value, rtol=1e-5, atol=1e-6, msg=key)
    assert one["scores"]["ap"] == pytest.approx(two["scores"]["ap"], abs=0.5)
    assert two["scores"]["images"] == 3
