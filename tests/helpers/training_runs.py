"""Run a training inside a test, stop it by a signal, read what it left behind."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from densekd.recipe import Recipe, dump_recipe, parse_recipe
from densekd.run.folder import RunFolder
from densekd.run.train import Launch, train
from densekd.terminal import Terminal

CPU = Launch(accelerator="cpu", devices="1")
QUIET = Terminal(quiet=True)


def parsed(content: dict[str, Any]) -> Recipe:
    return parse_recipe(content, "test")


def run(recipe: Recipe, folder: Path, existing: str = "refuse") -> dict[str, Any]:
    return train(recipe, RunFolder(folder), CPU, existing, QUIET)  # type: ignore[arg-type]


class Wholes:
    """Runs that nobody stopped, each trained once, for the tests that stop the same training somewhere.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Path] = {}

    def of(self, recipe: Recipe) -> Path:
        """Return the run of a recipe; nobody changes it."""
        text = dump_recipe(recipe)
        if text not in self._known:
            folder = self._folder / str(len(self._known))
            run(recipe, folder)
            self._known[text] = folder
        return self._known[text]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "student" / "model.safetensors")


def checkpoint(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def assert_same(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
    whole, resumed = checkpoint(one)["state_dict"], checkpoint(other)["state_dict"]
    assert [k for k in whole if not torch.equal(whole[k], resumed[k])] == []


def losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    # Times are no part of what is equal.
    return [{k: v for k, v in row.items() if k not in ("seconds_per_step", "data_wait")} for row in rows]


class StopAt:
    """Raise ``Interrupted``-like stops by sending a signal to ourselves when step ``n`` ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int, number: int) -> None:
        from densekd.run.callbacks import Checkpoints

        original = Checkpoints.on_train_batch_end

        def stop(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if trainer.global_step == n:
                os.kill(os.getpid(), number)
            original(self, trainer, module, outputs, batch, batch_idx)

        monkeypatch.setattr(Checkpoints, "on_train_batch_end", stop)
