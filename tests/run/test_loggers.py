"""Loggers and callbacks of a recipe: rows of a table, anybody's by module and name, missing libraries at once."""

import csv
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from training_runs import parsed, run

from densekd.errors import RecipeError, UserError
from densekd.run.folder import RunFolder
from densekd.run.loggers import LOGGERS, TrackioLogger, build_observers

OWN_LOGGER = {"name": "lightning.pytorch.loggers:CSVLogger", "options": {"name": "own", "version": "1"}}


class StepCounter(L.Callback):
    """A user's callback with state, which a checkpoint carries."""

    seen: list[int] = []  # noqa: RUF012

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self.count += 1
        StepCounter.seen.append(self.count)

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.count = state_dict["count"]


def test_tensorboard_is_the_default(recipe: dict[str, Any], tmp_path: Path) -> None:
    observers = build_observers(parsed(recipe), RunFolder(tmp_path))
    (logger,) = observers.loggers
    assert isinstance(logger, TensorBoardLogger)
    assert Path(logger.log_dir) == tmp_path / "tensorboard"
    assert observers.callbacks == ()


def test_every_logger_gets_every_loss(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["logging"] = ["csv", OWN_LOGGER]
    recipe["callbacks"] = [{"name": f"{__name__}:StepCounter", "options": {"start": 100}}]
    StepCounter.seen.clear()
    run(parsed(recipe), tmp_path / "run")
    assert StepCounter.seen == [101, 102, 103, 104, 105, 106]
    ours = rows(tmp_path / "run" / "metrics.csv")
    for folder in ("csv", "own/1"):
        logged = [row for row in rows(tmp_path / "run" / folder / "metrics.csv") if row["loss"]]
        # Lightning counts steps from zero; both record every second step.
        assert [int(row["step"]) + 1 for row in logged] == [2, 4, 6]
        for row, same in zip(logged, [row for row in ours if row["loss"]], strict=True):
            for name in ("loss", "task/ce"):
                assert float(row[name]) == pytest.approx(float(same[name]), rel=1e-5)
        assert [row for row in rows(tmp_path / "run" / folder / "metrics.csv") if row["val/miou"]]
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_callbacks_state_is_resumed(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["callbacks"] = [f"{__name__}:StepCounter"]
    run(parsed(recipe), tmp_path / "run")
    StepCounter.seen.clear()
    (tmp_path / "run" / "recipe.yaml").unlink()
    recipe["training"]["steps"] = 8
    run(parsed(recipe), tmp_path / "run", "resume")
    assert StepCounter.seen == [7, 8]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("logging", ["tensorbord"], r"logging\.0: unknown logger 'tensorbord'\. Did you mean 'tensorboard'\?"),
        ("logging", [{"name": "csv", "options": {"flsh": 1}}], r"logging\.0\.options: unknown option 'flsh'"),
        ("logging", ["fractions:Fraction"], r"logging\.0: the logger 'fractions:Fraction' is Python's own"),
        (
            "logging",
            ["torch.nn:Conv2d"],
            r"logging\.0: the logger 'torch.nn:Conv2d' was not called: .* Lightning Logger",
        ),
        ("callbacks", ["builtins:list"], r"callbacks\.0: the callback 'builtins:list' is Python's own"),
        ("callbacks", [OWN_LOGGER["name"]], r"callbacks\.0: .* was not called: it has to be a Lightning Callback"),
        ("callbacks", ["early"], r"callbacks\.0: unknown callback 'early'"),
    ],
)
def test_what_is_neither_is_refused_before_anything_is_built(
    recipe: dict[str, Any], tmp_path: Path, key: str, value: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe[key] = value
    monkeypatch.setattr("densekd.run.train.build", lambda recipe: pytest.fail("built first"))
    with pytest.raises(RecipeError, match=message):
        run(parsed(recipe), tmp_path / "run")


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_missing_library_is_named_with_its_extra(
    recipe: dict[str, Any], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    recipe["logging"] = [name]
    with pytest.raises(UserError, match=rf"This needs {name}, which is not installed: pip install 'densekd\[{name}\]'"):
        build_observers(parsed(recipe), RunFolder(tmp_path))


def test_tensorboard_is_looked_for_before_the_training(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match=r"logging: TensorBoard cannot be used .*pip install tensorboard"):
        build_observers(parsed(recipe), RunFolder(tmp_path))


def test_every_row_is_a_function_with_a_docstring() -> None:
    assert list(LOGGERS) == ["tensorboard", "csv", "wandb", "mlflow", "trackio"]
    assert all(factory.__doc__ for factory in LOGGERS.values())


def test_trackio(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    sent = SimpleNamespace(
        log=lambda values, step: calls.append((values, step)), finish=lambda: calls.append("finished")
    )

    def init(**options: Any) -> Any:
        calls.append(options)
        return sent

    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=init))
    logger = TrackioLogger("project", "run")
    logger.log_hyperparams({"lr": 0.1})
    assert calls == []
    logger.log_metrics({"loss": 1.0}, 3)
    logger.finalize("success")
    options = {"project": "project", "name": "run", "space_id": None, "config": {"lr": 0.1}, "resume": "allow"}
    assert calls == [options, ({"loss": 1.0}, 3), "finished"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))
