"""A task from outside is used like one of ours: a module beside the recipe, and no edit of the package."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import run_command

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="module")
def home(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the user's module and a recipe that names it; the student is trained for two steps."""
    home = tmp_path_factory.mktemp("home")
    (home / "my_heat.py").write_text((HELPERS / "heat_task.py").read_text().replace("heat_task:", "my_heat:"))
    recipe: dict[str, Any] = {
        "name": "heat",
        "data": {"dataset": "my_heat:heat", "root": str(data_root), "batch_size": 4},
        "augment": {"crop": [32, 32]},
        "student": {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 16}},
        "teacher": {"model": "fpn", "options": {"backbone": "resnet18_025"}, "checkpoint": "untrained"},
        "distill": [{"method": "l1", "weight": 1}],
        "task": {"kind": "my_heat:Heat", "margin": 0.01},
        "evaluation": {"power": 2.0},
        "optimizer": {"method": "adamw", "lr": 0.003},
        "training": {"steps": 2, "log_every": 1},
    }
    (home / "heat.yaml").write_text(yaml.safe_dump(recipe))
    run(home, "train", "heat.yaml", "--run", "run", "--accelerator", "cpu")
    return home


def run(home: Path, *arguments: object, status: int = 0) -> str:
    """Run a command where the module lies, as a user does."""
    finished = run_command(*arguments, cwd=home)
    assert finished.returncode == status, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def test_it_trains_and_its_results_say_what_they_are(home: Path) -> None:
    results = json.loads((home / "run" / "results.json").read_text())
    assert results["task"] == "my_heat:Heat"
    assert results["metrics"]["names"][0]["title"] == "heat error"
    assert results["student"]["error"] > 0
    assert results["palette"] == {"warm": [255, 255, 255]}
    config = json.loads((home / "run" / "student" / "config.json").read_text())
    assert (config["task"], config["task_options"], config["classes"]) == ("my_heat:Heat", {"margin": 0.01}, ["heat"])
    header = (home / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"task/heat", "distill/l1", "val/error"} <= set(header)
    assert (home / "run" / "predictions" / "000.student.png").is_file()


def test_it_appears_in_the_report(home: Path) -> None:
    page = (home / "run" / "report.html").read_text(encoding="utf-8")
    for words in ("heat error, K", "Validation heat error", "How warm it is", "warm", "lower is better"):
        assert words in page


def test_it_is_evaluated_and_predicts(home: Path, data_root: Path) -> None:
    assert "add --trust my_heat (in Python" in run(home, "evaluate", "run", status=1)
    trust = ("--trust", "my_heat")
    run(home, "evaluate", "run", "--json", "scores.json", *trust)
    expected = json.loads((home / "run" / "results.json").read_text())["student"]["error"]
    scores = json.loads((home / "scores.json").read_text())
    assert scores["error"] == expected
    # The folder's layout is the task's own, and so are the keys of the evaluation.
    run(home, "evaluate", "run", "power=1.0", "--data", data_root, "--json", "linear.json", *trust)
    assert json.loads((home / "linear.json").read_text())["error"] > expected
    run(home, "predict", "run", data_root / "images" / "val", "--out", "out", *trust)
    assert len(list((home / "out" / "heat").glob("*.png"))) == 3


def test_its_data_is_checked(home: Path) -> None:
    run(home, "data", "check", "heat.yaml", "--workers", "2", "--json", "report.json")
    report = json.loads((home / "report.json").read_text())
    assert report["fails"] is False
    assert sum(report["splits"]["train"]["pixels"].values()) == 6 * 32 * 48
    assert "heat error" in run(home, "check", "heat.yaml")


def test_its_options_are_its_own(home: Path) -> None:
    message = "task: unknown option 'marign'. Did you mean 'margin'?"
    assert message in run(home, "check", "heat.yaml", "task.marign=1", status=2)
    message = "evaluation: unknown option 'crop'. Known: power"
    assert message in run(home, "check", "heat.yaml", "evaluation.crop=[8,8]", status=2)
