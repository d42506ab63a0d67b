"""Commands in scripts: the JSON on the standard output alone, and otherwise a last line that says what comes next."""

import json
from pathlib import Path
from typing import Any

import pytest

from densekd.cli.app import COMMANDS
from densekd.cli.train import _next
from densekd.tasks.segmentation.metric_names import METRICS


@pytest.mark.parametrize("command", ["evaluate", "predict", "convert"])
def test_json_alone_on_the_standard_output(
    command: str, run: Any, trained: Path, data_root: Path, tmp_path: Path
) -> None:
    further: dict[str, tuple[object, ...]] = {
        "evaluate": (),
        "predict": (data_root, "--out", tmp_path / "out"),
        "convert": (tmp_path / "package",),
    }
    rest = further[command]
    status, printed = run(command, trained, *rest, "--json", "-")
    assert status == 0, printed
    content = json.loads(printed)
    known = {"evaluate": "miou", "predict": "done", "convert": "classes"}[command]
    assert content[known] is not None


def test_the_last_line_is_the_next_command(run: Any, trained: Path, data_root: Path, tmp_path: Path) -> None:
    lines = {
        ("evaluate", trained): f"next: densekd predict {trained} pictures/",
        ("predict", trained, data_root, "--out", tmp_path / "out"): f"next: densekd export {trained} --to onnx",
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
        assert command.__name__ in documents or "print_next(" in source
