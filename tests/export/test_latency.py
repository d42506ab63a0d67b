"""Latency: what a name stands for, interleaved rounds, the table's numbers, the picture, and bad input."""

import json
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exported_runs import make_run
from typer.testing import CliRunner

import densekd
from densekd.cli.app import app
from densekd.errors import UserError
from densekd.export.export import export
from densekd.export.latency import benchmark as module
from densekd.export.latency.benchmark import BenchmarkRow
from densekd.export.latency.eager import write_order
from densekd.export.latency.picture import accuracy_picture
from densekd.export.process import Timing
from densekd.export.sessions import run_eager


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an artefact of ONNX Runtime and a score."""
    folder = make_run(tmp_path_factory.mktemp("latency"))
    (verdict,) = export(folder, "onnx")
    assert verdict.passed
    return folder


def row(**changes: object) -> BenchmarkRow:
    base = BenchmarkRow("a", "PyTorch", (8, 8), 1, 1, 5, 4.0, 5.0, 250.0, 1, 1, 1, 1, 50.0, "mIoU", "%")
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_run_and_its_artefacts(run: Path) -> None:
    eager, onnx = densekd.benchmark([run, run / "export"], runs=7, threads=1)
    model = densekd.load(run)
    assert (eager.engine, onnx.engine) == ("PyTorch", "ONNX Runtime")
    assert eager.runs == onnx.runs == 7
    assert eager.size == onnx.size
    assert eager.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert eager.multiply_adds is not None
    assert eager.multiply_adds > 1e5
    verdict = json.loads((run / "export/onnx-fp32/model.json").read_text())["verdict"]
    assert (onnx.score, onnx.metric, onnx.bytes) == (verdict["engine_score"], verdict["metric"], verdict["bytes"])
    assert eager.score is None
    for found in (eager, onnx):
        assert 0 < found.median_ms <= found.p95_ms
        assert found.images_per_second == pytest.approx(1000 / found.median_ms)
        assert found.peak_bytes is not None
        assert found.peak_bytes > 1e7


def test_an_engine_names_the_artefacts_of_a_run(run: Path) -> None:
    rows = densekd.benchmark(run, engine="eager,onnx", runs=1)
    assert [found.engine for found in rows] == ["PyTorch", "ONNX Runtime"]


def test_rounds_are_interleaved(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[tuple[int, int]] = []

    class Recorded:
        def __init__(self, engine: object, folder: Path, threads: int) -> None:
            self.number = len(str(folder))

        def __enter__(self) -> "Recorded":
            return self

        def __exit__(self, *_: object) -> None: ...

        def time(self, array: np.ndarray, runs: int, warmup: int) -> Timing:
            turns.append((self.number, runs))
            return Timing([0.01 * len(turns)] * runs, 1)

    monkeypatch.setattr(module, "EngineProcess", Recorded)
    rows = densekd.benchmark([run, run / "export"], runs=12)
    first, second = turns[0][0], turns[1][0]
    assert first != second
    assert turns == [(first, 1), (second, 1)] + [(n, r) for r in (3, 3, 2, 2, 2) for n in (first, second)]
    # Calls 3, 5, 7, 9, 11 are the first model's: 3, 3, 2, 2, 2 runs.
    expected = [30.0] * 3 + [50.0] * 3 + [70.0] * 2 + [90.0] * 2 + [110.0] * 2
    assert rows[0].median_ms == pytest.approx(np.median(expected))
    assert rows[0].p95_ms == pytest.approx(np.percentile(expected, 95))


def test_seconds_bound_the_runs(run: Path) -> None:
    begin = time.monotonic()
    (found,) = densekd.benchmark(run / "export", seconds=0.2)
    assert found.runs >= 5
    assert time.monotonic() - begin < 30


def test_eager_session_runs_the_order(run: Path, tmp_path: Path) -> None:
    write_order(tmp_path, str(run), ())
    session = run_eager.open_session(str(tmp_path), 0)
    assert session(np.zeros((2, 3, 64, 64), np.float32)) == []


def test_the_command_writes_table_json_and_picture(run: Path, tmp_path: Path) -> None:
    out, picture = tmp_path / "rows.json", tmp_path / "rows.svg"
    command = ["benchmark", str(run / "export"), "--runs", "2", "--json", str(out), "--picture", str(picture)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())[0]["engine"] == "ONNX Runtime"
    ET.fromstring(picture.read_text())
    again = CliRunner().invoke(app, command)
    assert "is there already; --force" in str(again.exception)
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0


def test_another_json_is_not_replaced(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    result = CliRunner().invoke(app, ["benchmark", str(run), "--json", str(other)])
    assert isinstance(result.exception, UserError)
    assert other.read_text() == "{}"


def test_the_picture_places_points_and_escapes_names() -> None:
    svg = accuracy_picture([row(model="<a>&"), row(model="b", median_ms=8.0, score=60.0), row(model="c", score=None)])
    tree = ET.fromstring(svg)
    circles = tree.findall(".//{*}circle")
    first, second = [(float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in circles]
    # Slower is further right, better is higher up.
    assert first[0] < second[0]
    assert first[1] > second[1]
    assert "prefers-color-scheme: dark" in svg
    assert "accuracy not known: c" in svg


@pytest.mark.parametrize(
    ("rows", "message"),
    [([row(score=None)], "none of the models"), ([row(), row(metric="AP")], "different metrics: AP %, mIoU %")],
)
def test_no_picture_of_what_cannot_be_compared(rows: list[BenchmarkRow], message: str) -> None:
    with pytest.raises(UserError, match=message):
        accuracy_picture(rows)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("", {"engine": "onxx"}, "unknown engine 'onxx'"),
        ("", {"engine": "openvino"}, "holds nothing exported to openvino"),
        ("export", {"size": "32x32"}, "was exported for"),
        ("export", {"batch": 2}, "was exported for batch 1"),
        ("nowhere", {}, "nowhere"),
        ("", {"batch": 0}, "--batch: at least 1"),
        ("", {"runs": 0}, "--runs: at least 1"),
        ("", {"seconds": 0.0}, "--seconds: more than 0"),
        ("", {"threads": -1}, "--threads"),
    ],
)
def test_bad_input_is_one_message(run: Path, target: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        densekd.benchmark(run / target, **options)  # type: ignore[arg-type]


def test_a_package_without_a_run_asks_for_a_size(run: Path, tmp_path: Path) -> None:
    (run / "student").rename(tmp_path / "alone")
    try:
        with pytest.raises(UserError, match="name one: --size"):
            densekd.benchmark(tmp_path / "alone")
        (found,) = densekd.benchmark(tmp_path / "alone", size=(64, 96), runs=1)
    finally:
        (tmp_path / "alone").rename(run / "student")
    assert found.size == (64, 96)
