"""Damaged files of a run folder: the same result, a line that says what was done, or a message that names the file."""

import io
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import KINDS, damage, restored
from rich.console import Console
from tiny_data import tiny_recipe
from training_runs import CPU, StopAt, losses, parsed, run, weights

from densekd.errors import UserError
from densekd.models.open import open_model
from densekd.recipe import load_recipe
from densekd.report import write_report
from densekd.run.evaluate import evaluate_path
from densekd.run.folder import RunFolder
from densekd.run.train import train
from densekd.seal import read_document
from densekd.stopping import Interrupted


@pytest.fixture(scope="module")
def runs(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run, and the same run stopped at step 4."""
    content = tiny_recipe(data_root)
    content["training"] |= {"steps": 6, "validate_every": 2, "checkpoint_every": 1, "export": "best"}
    recipe, folder = parsed(content), tmp_path_factory.mktemp("runs")
    run(recipe, folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, 5, signal.SIGTERM)
        with pytest.raises(Interrupted):
            run(recipe, folder / "parts")
    return folder / "whole", folder / "parts"


def resumed(folder: Path) -> str:
    """Go on as ``densekd train RUN --resume`` does; return what was said."""
    console = Console(record=True, width=500, file=io.StringIO())
    train(load_recipe(folder / "recipe.yaml"), RunFolder(folder), CPU, "resume", console)
    return console.export_text()


def outcome(run: Callable[[], str]) -> tuple[str, str]:
    """Return what a call returns, or the message of its error; any other error is one of the test."""
    try:
        return run(), ""
    except UserError as error:
        return "", str(error)


RESUMED = [
    "recipe.yaml",
    "environment.json",
    "metrics.csv",
    "metrics.json",
    "checkpoints/last.ckpt",
    "checkpoints/previous.ckpt",
    "checkpoints/best.ckpt",
]


@pytest.mark.parametrize("kind", ["bit", "half", "folder"])
@pytest.mark.parametrize("name", RESUMED)
def test_resume(runs: tuple[Path, Path], tmp_path: Path, name: str, kind: str) -> None:
    whole, parts = runs
    folder = restored(parts, tmp_path / "run")
    damage(folder / name, kind, 0.6)
    said, message = outcome(lambda: resumed(folder))
    if message:
        assert Path(name).name in message
        assert "weights_only" not in message
        return
    # The best weights may be lost, which is said; all else is as it was.
    if name == "checkpoints/best.ckpt" and "exported instead" in said:
        assert "best.ckpt" in said
        return
    assert all(torch.equal(weights(whole)[key], value) for key, value in weights(folder).items())
    assert scores(folder) == scores(whole)
    if name == "metrics.csv" and losses(folder) != losses(whole):
        assert "metrics.csv is damaged: " in said
        assert (folder / "metrics.csv.damaged").exists()


def scores(folder: Path) -> Any:
    results = read_document(folder / "results.json")
    return {key: value for key, value in results.items() if key not in ("metrics.csv", "latency")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["student/config.json", "student/model.safetensors", "recipe.yaml"])
def test_evaluate(runs: tuple[Path, Path], tmp_path: Path, name: str, kind: str) -> None:
    folder = restored(runs[0], tmp_path / "run")
    damage(folder / name, kind, 0.4)
    with pytest.raises(UserError) as caught:
        evaluate_path(folder, None, None)
    assert Path(name).name in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "checkpoints/best.ckpt"])
def test_open_a_checkpoint(runs: tuple[Path, Path], tmp_path: Path, name: str, kind: str) -> None:
    folder = restored(runs[0], tmp_path / "run")
    damage(folder / name, kind, 0.4)
    with pytest.raises(UserError) as caught:
        open_model(folder / name)
    assert Path(name).name in str(caught.value)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["results.json", "metrics.csv", "environment.json", "recipe.yaml"])
def test_report(runs: tuple[Path, Path], tmp_path: Path, name: str, kind: str) -> None:
    folder = restored(runs[0], tmp_path / "run")
    damage(folder / name, kind, 0.4)
    page, message = outcome(lambda: write_report(folder).read_text())
    if message:
        assert name in message
        return
    # What is shown as text is shown with a remark.
    remarks = ("not what was written", "is not valid JSON", "a folder stands", "NOT what the training began with")
    assert name in ("environment.json", "recipe.yaml")
    assert any(remark in page for remark in remarks)


def test_an_edited_package_goes_on_as_its_message_says(runs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = restored(runs[0], tmp_path / "run")
    path = folder / "student" / "config.json"
    text = path.read_text().replace("class1", "road")
    path.write_text(text)
    with pytest.raises(UserError, match=r"'classes' was changed since.* remove its line \"checksums\""):
        open_model(folder)
    lines = text.splitlines()
    path.write_text("\n".join([*lines[:-3], lines[-3].rstrip(","), lines[-1]]))
    assert open_model(folder).classes.names == ("class0", "road", "class2")


def test_a_copied_recipe_may_be_edited(runs: tuple[Path, Path], tmp_path: Path) -> None:
    text = (runs[0] / "recipe.yaml").read_text().replace("steps: 6", "steps: 7")
    (tmp_path / "mine.yaml").write_text(text)
    assert load_recipe(tmp_path / "mine.yaml").training.steps == 7


def test_weights_that_are_not_finite_give_way_to_the_checkpoint_before(runs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = restored(runs[1], tmp_path / "run")
    last = folder / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    name = next(key for key in content["state_dict"] if key.endswith("running_var"))
    content["state_dict"][name][0] = -1
    torch.save(content, last)
    said = resumed(folder)
    assert f"last.ckpt is damaged: {name}, a variance of batch norm, is negative" in said
    assert all(torch.equal(weights(runs[0])[key], value) for key, value in weights(folder).items())
