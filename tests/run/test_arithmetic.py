"""What a training computes with holds during the training alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_data import make_folder, tiny_recipe

from densekd.distill.distiller import Distiller
from densekd.recipe import parse_recipe
from densekd.run.arithmetic import arithmetic
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.train import train

State = tuple[bool, str, bool]


def state() -> State:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.benchmark,
    )


@pytest.mark.parametrize(
    ("deterministic", "device", "within"),
    [
        (False, "cpu", (False, "highest", False)),
        (False, "cuda", (False, "high", True)),
        (True, "cuda", (True, "highest", False)),
        (True, "cpu", (True, "highest", False)),
    ],
)
def test_it_is_chosen_and_returns(deterministic: bool, device: str, within: State) -> None:
    before = state()
    inside: list[State] = []

    def fail() -> None:
        with arithmetic(deterministic, torch.device(device)):
            inside.append(state())
            raise KeyError

    # Also after an exception.
    with pytest.raises(KeyError):
        fail()
    assert inside == [within]
    assert state() == before == (False, "highest", False)


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_training_runs_in_it(deterministic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe: dict[str, Any] = tiny_recipe(make_folder(tmp_path / "data", {"train": 4, "val": 2}))
    recipe["training"] |= {"steps": 2, "deterministic": deterministic}
    seen: list[bool] = []
    step = Distiller.training_step

    def watched(self: Distiller, *arguments: Any) -> Any:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return step(self, *arguments)

    monkeypatch.setattr(Distiller, "training_step", watched)
    run = RunFolder(tmp_path / "run")
    train(parse_recipe(recipe, "test"), run, Launch(accelerator="cpu"), "refuse", Console(quiet=True))
    assert seen == [deterministic] * 2
    assert not torch.are_deterministic_algorithms_enabled()
