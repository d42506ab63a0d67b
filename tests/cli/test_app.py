"""The command line as a whole: quick help, exit statuses, one clear message."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


def test_help_and_import_are_quick() -> None:
    """Meant are 1 s and 0.3 s beyond Python's own start; the limits leave room for a machine that does other things."""

    def seconds(*command: str) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds("-m", "densekd", "--help") < 2.0
    assert seconds("-c", "import densekd") - seconds("-c", "pass") < 0.6
    code = "import sys, densekd, densekd.cli.app; assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.btach_size=3", "data.btach_size: unknown key. Did you mean 'batch_size'?"),
        ("training.steps=many", "training.steps: an integer of at least 1 or null, got 'many'"),
        ("training.steps", "'training.steps' is no override; write key.path=value"),
        ("student.model=pspnett", "student.model: unknown model 'pspnett'. Did you mean 'pspnet'?"),
        ("training.accumulate=3", "a batch of 4 does not divide into 3 parts"),
    ],
)
def test_wrong_recipe_exits_2(run: Any, recipe_file: Path, tmp_path: Path, override: str, message: str) -> None:
    status, printed = run("train", recipe_file, override, "--run", tmp_path / "run")
    assert (status, "error: " in printed) == (2, True), printed
    assert message in printed.replace("\n", " ")
    assert "Traceback" not in printed


def test_an_unknown_recipe_names_the_one_like_it_and_no_hundreds(run: Any) -> None:
    status, printed = run("check", "quickstrat")
    assert status == 2
    assert "Did you mean 'quickstart'?" in printed
    assert "'densekd recipes' lists them" in printed
    assert "camvid-r18quarter-cwd" not in printed


def test_wrong_option_exits_2(run: Any) -> None:
    status, printed = run("train", "--nonsense")
    assert status == 2
    assert "No such option: --nonsense" in printed


def test_failed_run_exits_1_and_debug_shows_where(run: Any, recipe_file: Path, tmp_path: Path) -> None:
    arguments = ("train", recipe_file, f"data.root={tmp_path / 'nowhere'}", "--run", tmp_path / "run")
    status, printed = run(*arguments)
    assert status == 1
    assert "nowhere: no such data folder" in printed.replace("\n", "")
    from densekd.errors import UserError

    with pytest.raises(UserError):
        run(*arguments, "--debug", "--overwrite")


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("sys.exit(0)", 1, "ended by sys.exit(0) "),
        ("sys.exit(7)", 7, "ended by sys.exit(7) "),
        ("raise KeyError('a')", 1, "KeyError: 'a' "),
    ],
)
def test_code_that_is_not_densekds_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, line: str, status: int, message: str
) -> None:
    from densekd.cli import app
    from densekd.own_modules import import_own

    # A module that was named once is found where it was.
    name = f"careless_own_code_{status}_{len(line)}"
    (tmp_path / f"{name}.py").write_text(f"import sys\n{line}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "app", lambda **_: import_own(name))
    monkeypatch.setattr(sys, "argv", ["densekd", "train"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    said = capsys.readouterr().err.replace("\n", " ")
    assert ended.value.code == status
    assert message in said
    assert f"{name}.py, line 2)" in said
    assert "should not happen" not in said
