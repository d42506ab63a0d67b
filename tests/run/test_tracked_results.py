"""Tables and pictures at the end of a training: in TensorBoard's files, and as calls of the other trackers."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import parsed, run

from densekd.run.folder import RunFolder
from densekd.run.loggers import TrackioLogger
from densekd.run.tracked_results import send_results

RESULTS = {"student": {"miou": 41.0, "iou": {"a": 1.0}}, "teacher": {"miou": 50, "ece": None}, "baseline": None}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    pictures = tmp_path / "predictions"
    pictures.mkdir()
    for kind in ("image", "student"):
        Image.new("RGB", (4, 3)).save(pictures / f"a.{kind}.png")
    return RunFolder(tmp_path)


def test_a_training_leaves_them_in_tensorboard(recipe: dict[str, Any], tmp_path: Path) -> None:
    run(parsed(recipe), tmp_path / "run")
    found = EventAccumulator(str(tmp_path / "run" / "tensorboard"), {"images": 0, "tensors": 0})
    found.Reload()
    names = {path.name for path in (tmp_path / "run" / "predictions").glob("*.student.png")}
    images = [tag for tag in found.Tags()["images"] if tag.endswith("/student")]
    assert len(images) == len(names) > 0
    assert found.Images(images[0])[0].step == recipe["training"]["steps"]
    (table,) = [tag for tag in found.Tags()["tensors"] if tag.startswith("scores")]
    assert b"miou" in found.Tensors(table)[0].tensor_proto.string_val[0]


def bare(kind: type[Logger]) -> Any:
    """Return a logger of a library that may not be installed."""
    return kind.__new__(kind)


def test_weights_and_biases(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(WandbLogger, "log_table", lambda self, key, columns, data: calls.append((key, columns, data)))
    monkeypatch.setattr(WandbLogger, "log_image", lambda self, key, images: calls.append((key, images)))
    send_results([bare(WandbLogger)], RESULTS, folder, 7, Console(quiet=True))
    assert calls == [
        ("scores", ["model", "miou"], [["teacher", 50.0], ["student", 41.0]]),
        ("predictions/a/image", [str(folder.path / "predictions" / "a.image.png")]),
        ("predictions/a/student", [str(folder.path / "predictions" / "a.student.png")]),
    ]


def test_mlflow(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MagicMock()
    monkeypatch.setattr(MLFlowLogger, "experiment", client)
    monkeypatch.setattr(MLFlowLogger, "run_id", "r")
    send_results([bare(MLFlowLogger)], RESULTS, folder, 7, Console(quiet=True))
    table = {"model": ["teacher", "student"], "miou": [50.0, 41.0]}
    client.log_table.assert_called_once_with("r", table, "scores.json")
    assert client.log_artifact.call_count == 2


def test_trackio_continues_its_run_and_ends_it(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    module = MagicMock()
    monkeypatch.setitem(sys.modules, "trackio", module)
    send_results([TrackioLogger("project", "run")], RESULTS, folder, 7, Console(quiet=True))
    assert module.init.call_args.kwargs["resume"] == "allow"
    values = module.init.return_value.log.call_args
    assert set(values.args[0]) == {"scores", "predictions/a/image", "predictions/a/student"}
    assert values.kwargs == {"step": 7}
    module.init.return_value.finish.assert_called_once()


def test_a_tracker_that_fails_is_a_warning(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = SimpleNamespace(Table=None)
    monkeypatch.setitem(sys.modules, "trackio", broken)
    send_results([TrackioLogger("project", "run")], RESULTS, folder, 7, Console(width=300))
    assert "Trackio did not take the scores and pictures" in capsys.readouterr().out
