"""Tiny trainings of every kind whose state can be lost, run as a person runs them: by the command."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

HELPERS = Path(__file__).parents[2] / "tests" / "helpers"
# Nothing here takes longer than seconds; a process that does hangs.
PATIENCE = 300

CWD = {"method": "cwd", "weight": {"value": 3, "warmup": 3}}
FEATURES = {"method": "cwd", "weight": 1, "student": "pre_logits", "teacher": "features.0"}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulate": {"training": {"accumulate": 2}},
    "workers": {"data": {"workers": 1}},
    "adversarial": {"distill": [{"method": "adversarial", "weight": 0.001}, FEATURES | {"adapter": "conv"}]},
    "memory": {
        "distill": [
            {
                "method": "cirkd_memory",
                "weight": 1,
                "student": "pre_logits",
                "teacher": "features.1",
                "resize_to": "student",
                "adapter": "conv",
                "options": {"pixel_memory_size": 50},
            }
        ]
    },
    "cache": {"teacher": {"cache": {"views": 2, "dtype": "fp32"}}},
    "detection": {},
}


@dataclass(frozen=True)
class Finished:
    """A process that ended, or was ended because it hung."""

    status: int
    text: str
    seconds: float
    hung: bool = False


@dataclass(frozen=True)
class Training:
    """A recipe on disk and how it is started.

    Args:
        recipe: the file.
        processes: how many train together.
    """

    recipe: Path
    processes: int = 1

    def start(self, folder: Path, *more: str, **environment: str) -> "subprocess.Popen[str]":
        """Start ``densekd train`` in a process group of its own."""
        command = [sys.executable, "-m", "densekd", "train", str(self.recipe), "--run", str(folder)]
        command += ["--accelerator", "cpu", *more]
        if self.processes > 1:
            command += ["--devices", str(self.processes), "--strategy", "ddp"]
        surroundings = os.environ | {"OMP_NUM_THREADS": "1"} | environment
        return subprocess.Popen(
            command,
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, folder: Path, *more: str, **environment: str) -> Finished:
        """Run to the end."""
        return ended(self.start(folder, *more, **environment))


def ended(process: "subprocess.Popen[str]", patience: float = PATIENCE) -> Finished:
    """Wait for the end of a process; one that hangs is killed with its group."""
    begun = time.monotonic()
    try:
        text, _ = process.communicate(timeout=patience)
        return Finished(process.returncode, text, time.monotonic() - begun)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        return Finished(process.returncode, text, patience, hung=True)


def make_training(folder: Path, kind: str, processes: int = 1, steps: int = 40) -> Training:
    """Write data, teacher and recipe of a tiny training.

    Args:
        folder: a new one.
        kind: a key of :data:`KINDS`.
        processes: how many train together.
        steps: of the training.
    """
    sys.path.insert(0, str(HELPERS))
    from dataset_trees import make_coco
    from tiny_data import make_folder, tiny_recipe

    if kind == "detection":
        root = folder / "boxes"
        for split in ("train", "val"):
            make_coco(root / f"instances_{split}.json", root / split)
        content = _detection(root)
    else:
        content = tiny_recipe(make_folder(folder / "data", {"train": 6, "val": 11}))
        # Dropout, noise of the order and an adapter's statistics are what a resume can lose.
        content["student"]["options"] = {"backbone": "mobilenetv3_small_050", "channels": 16, "dropout": 0.3}
        content["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_050"}, "checkpoint": "untrained"}
        content["distill"] = [CWD, FEATURES | {"adapter": "conv-bn-relu"}]
    content["training"] |= {"steps": steps, "validate_every": 10, "checkpoint_every": 7, "log_every": 1}
    for section, changes in KINDS[kind].items():
        content[section] = content[section] | changes if isinstance(changes, dict) else changes
    if kind == "cache":
        content["teacher"]["cache"]["folder"] = str(folder / "cache")
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(content))
    return Training(recipe, processes)


def _detection(root: Path) -> dict[str, Any]:
    """Return a recipe of a tiny detector with a detector as its teacher."""
    model = {"model": "gfl", "options": {"backbone": "resnet18_025", "channels": 16, "depth": 1}}
    return {
        "name": "tiny",
        "data": {"dataset": "coco", "root": str(root), "batch_size": 2, "cache": 0.01},
        "augment": {"short_side": [32, 64]},
        "teacher": model | {"checkpoint": "untrained"},
        "student": model,
        "task": {"kind": "detection"},
        "distill": [{"method": "cwd", "weight": 1, "student": "neck.0", "teacher": "neck.0"}],
        "optimizer": {"method": "adamw", "lr": 0.003, "weight_decay": 0.02},
        "training": {},
    }


def same_result(one: Path, other: Path) -> bool:
    """Return whether two run folders hold the same student, state and scores, to the last bit."""
    a, b = (load_file(folder / "student" / "model.safetensors") for folder in (one, other))
    x, y = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (one, other))
    scores = [_scores(folder) for folder in (one, other)]
    return _equal(a, b) and _equal(x["state_dict"], y["state_dict"]) and scores[0] == scores[1]


def _equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _scores(folder: Path) -> list[Any]:
    """Return a run's scores and its metrics, without what a clock gives."""
    results = json.loads((folder / "results.json").read_text())
    lines = (folder / "metrics.csv").read_text().splitlines()
    head = lines[0].split(",")
    clocks = [index for index, name in enumerate(head) if "second" in name or "time" in name]
    rows = []
    for line in lines[1:]:
        cells = line.split(",")
        rows.append([cell for index, cell in enumerate(cells) if index not in clocks])
    return [results["student"].get("miou"), results["student"].get("ap"), rows]
