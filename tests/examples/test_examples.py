"""Every example runs, in a few steps, and does what it says."""

import importlib
import math
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "scenes")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script as Python does that runs it: its neighbors are on the path. Data sets are cut down."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str) -> Any:
        module = importlib.import_module(name)
        for function in ("loaders", "depth_loaders"):
            if hasattr(module, function):
                few = partial(getattr(module, function), train=8, val=2)
                monkeypatch.setattr(module, function, few)
        return module

    return load


def test_every_script_is_tested() -> None:
    assert [name for name in SCRIPTS if f"test_{name}" not in globals()] == []
    for name in SCRIPTS:
        lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 60, name


def test_segmentation(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    scores = example("segmentation").main(2)
    assert list(scores) == ["teacher", "alone", "distilled"]
    assert all(0 <= score <= 100 for score in scores.values())
    assert "predicted labels: (96, 128), uint8" in capsys.readouterr().out


def test_detection(example: Any) -> None:
    scores = example("detection").main(2)
    assert 0 <= scores["ap"] <= scores["ap50"] <= 100


def test_depth(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    scores = example("depth").main(2)
    assert scores["absrel"] > 0
    assert 0 <= scores["delta1"] <= 100
    assert "a map (96, 128), float32" in capsys.readouterr().out


def test_own_loss(example: Any) -> None:
    history = example("own_loss").main(2)
    assert {"distill/cosine", "distill/cwd", "task/ce"} <= set(history[-1])
    assert history[-1]["distill/cosine"] > 0


def test_own_loop(example: Any) -> None:
    history = example("own_loop").main(8)
    assert len(history) == 8
    assert all(math.isfinite(value) for value in history)
    assert history[-1] < history[0]


def executed(name: str, **settings: str) -> list[Any]:
    """Execute a notebook with other settings in its first cell; return its cells of code.

    Args:
        name: of the file.
        settings: text in the first cell -> what takes its place, by a name that only this call knows.
    """
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    nbformat.validate(notebook)
    # No outputs are kept: they would not be those of the code.
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    for value in settings.values():
        before, _, after = value.partition(" -> ")
        assert before in cells[0].source
        cells[0].source = cells[0].source.replace(before, after)
    # A command that another test ran here keeps the current folder off the path of processes that start later.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(EXAMPLES)}}).execute(env=environment)
    errors = [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert errors == []
    return cells


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def test_every_notebook_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.ipynb")} == {"distil.ipynb", "ship.ipynb"}


def test_the_notebook_that_distils() -> None:
    cells = executed("distil.ipynb", steps="STEPS = 300 -> STEPS = 2", data="loaders() -> loaders(8, 2)")
    # The last cell shows the five pictures side by side.
    assert "image/png" in cells[-1].outputs[-1].data


def test_the_notebook_that_ships() -> None:
    few = '"train": 240, "val": 60 -> "train": 8, "val": 4'
    cells = executed("ship.ipynb", steps="STEPS = 300 -> STEPS = 2", data=few)
    assert [line.split()[0] for line in printed(cells[1]).splitlines()] == ["teacher", "baseline", "student"]
    assert {line.split()[0] for line in printed(cells[2]).splitlines()} == {"alone", "cwd", "pixel"}
    assert printed(cells[3]).startswith("onnx fp32 verified ")
    assert len(re.findall(r" ms$", printed(cells[4]), re.MULTILINE)) == 3
    assert "(96, 128) uint8" in printed(cells[5])
    assert "image/png" in cells[5].outputs[-1].data
