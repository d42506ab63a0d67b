"""Commands in scripts: the JSON on the standard output alone, and otherwise a last line that says what comes next."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from densekd.cli.app import COMMANDS
from densekd.cli.train import _next
from densekd.tasks.segmentation.metric_names import METRICS

# Command and its arguments -> a key of its JSON, or of each row; RUN is a run, OUT a folder.
JSON: dict[tuple[str, ...], str] = {
    ("evaluate", "RUN"): "miou",
    ("predict", "RUN", "--out", "OUT"): "done",
    ("convert", "RUN", "OUT"): "classes",
    ("check", "RUN"): "checked",
    ("fetch", "RUN"): "weights",
    ("inspect", "RUN", "--size", "64x64"): "tables",
    ("data", "check", "RUN", "--workers", "0"): "splits",
    ("doctor", "RUN", "--quick"): "findings",
    ("compare", "RUN"): "score",
    ("losses",): "options",
    ("datasets",): "options",
    ("recipes", "cirkd-psp-*"): "published",
}


@pytest.mark.parametrize("command", JSON)
def test_json_alone_on_the_standard_output(command: tuple[str, ...], run: Any, trained: Path, tmp_path: Path) -> None:
    places = {"RUN": trained, "OUT": tmp_path / "out"}
    status, printed = run(*[places.get(word, word) for word in command], "--json", "-")
    # The doctor ends with 1 where it finds something.
    assert status in ((0, 1) if command[0] == "doctor" else (0,)), printed
    content = json.loads(printed)
    row = content[0] if isinstance(content, list) else content
    assert row[JSON[command]] is not None


def test_every_command_that_finds_something_writes_json() -> None:
    """But for those that print a document or write files alone."""
    without = {"cache", "convert_config", "schema", "docs"}
    found = {command.__name__ for command in COMMANDS if "json" not in inspect.signature(command).parameters}
    assert found == without


def test_the_last_line_is_the_next_command(run: Any, trained: Path, tmp_path: Path) -> None:
    lines = {
        ("evaluate", trained): f"next: densekd predict {trained}",
        ("predict", trained, "--out", tmp_path / "out"): f"next: densekd export {trained} --to onnx",
        ("convert", trained, tmp_path / "package"): f"next: densekd evaluate {tmp_path / 'package'} --data DATA",
        ("data", "check", trained, "--workers", 0): f"next: densekd check {trained}",
        ("check", trained): f"next: densekd evaluate {trained}",
        ("compare", trained): f"next: densekd export {trained} --to onnx",
    }
    for command, line in lines.items():
        status, printed = run(*command)
        assert status == 0, printed
        assert printed.rstrip().splitlines()[-1] == line
        # A script that asks for quiet gets none of it.
        if "--out" not in command and command[0] != "convert":
            assert run(*command, "--quiet") == (0, "")


def test_a_teacher_is_followed_by_its_student(run: Any, recipe_file: Path, tmp_path: Path) -> None:
    teacher = recipe_file.rename(tmp_path / "teacher.yaml")
    (tmp_path / "student.yaml").write_text("name: student\n")
    status, printed = run("train", teacher, "training.steps=1", "--run", tmp_path / "run")
    assert status == 0, printed
    assert printed.rstrip().splitlines()[-1] == f"next: densekd train {tmp_path / 'student.yaml'}"


def test_without_a_gain_the_doctor_comes_next() -> None:
    results: dict[str, Any] = {"metrics": METRICS.to_json(), "student": {"miou": 40.0}, "baseline": {"miou": 41.0}}
    run = Path("runs/a")
    assert _next(Path("a.yaml"), run, results) == ("densekd", "doctor", run)
    results["student"]["miou"] = 42.0
    assert _next(Path("a.yaml"), run, results) == ("densekd", "export", run, "--to", "onnx")
    assert _next(Path("a.yaml"), run, results | {"baseline": None})[1] == "export"


def test_every_command_says_what_comes_next() -> None:
    # These print a document, which is a file's content.
    documents = {"schema", "docs"}
    for command in COMMANDS:
        source = Path(command.__code__.co_filename).read_text(encoding="utf-8")
        assert command.__name__ in documents or "print_next" in source
