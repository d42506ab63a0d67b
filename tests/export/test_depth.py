"""A depth student in its engines: scored there as its evaluation scores it, and its infer.py is run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_depth import depth_recipe, make_depth
from training_runs import parsed, run

import densekd
from densekd.export.export import export


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("depth")
    data = make_depth(root / "data", {"train": 6, "val": 3})
    run(parsed(depth_recipe(data)), root / "run")
    return root / "run"


def test_verified_scored_and_run(trained: Path, tmp_path: Path) -> None:
    wanted: Any = densekd.evaluate(trained)
    verdicts = export(trained, "onnx,openvino")
    picture = trained.parent / "data" / "images" / "val" / "000.png"
    predicted: Any = densekd.load(trained).predict(picture)  # type: ignore[operator]
    for verdict in verdicts:
        assert verdict.status == "verified", verdict.reason
        assert verdict.torch_score == pytest.approx(wanted["absrel"], rel=1e-3)
        assert verdict.engine_score == pytest.approx(wanted["absrel"], rel=1e-3)
        out = tmp_path / f"{verdict.engine}.npy"
        script = trained / "export" / f"{verdict.engine}-fp32" / "infer.py"
        done = subprocess.run([sys.executable, str(script), str(picture), str(out)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(np.load(out), np.asarray(predicted), rtol=2e-3, atol=1e-3)


def test_the_report_shows_the_verdicts(trained: Path) -> None:
    export(trained, "torch")
    report = (trained / "report.html").read_text()
    assert "torch-fp32" in report
    assert "verified" in report
