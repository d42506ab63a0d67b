"""What lies in the current folder is no library: neither for the command, nor for the processes that it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
# Optional libraries of libraries, modules of Python itself, and libraries that are installed.
NAMES = ("colorama", "tabulate", "opt_einsum", "pynvml", "json", "typing", "yaml", "rich")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A downloaded folder with files of the names of libraries, each of which leaves a mark when it is run."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\n")
    (tmp_path / "tensorflow").mkdir()
    return tmp_path


def command(folder: Path, *words: str) -> str:
    """Run Python in a folder; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    environment.pop("PYTHONSAFEPATH", None)
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "ran").exists(), (folder / "ran").read_text()
    return done.stdout


def test_the_command_reads_nothing_in_the_current_folder(folder: Path) -> None:
    assert "fpn" in command(folder, "-m", "densekd", "inspect", "fpn", "backbone=resnet18_025", "--size", "32x32")


CHILD = """
import os, subprocess, sys
sys.argv = ["densekd", "--version"]
from densekd.cli.app import main
try:
    main()
except SystemExit:
    pass
sys.stdout.flush()
subprocess.run([sys.executable, "-c", "import sys; print('' in sys.path)"])
"""


def test_children_of_the_command_do_not_look_there(folder: Path) -> None:
    assert command(folder, "-P", "-c", CHILD).split()[-1] == "False"


def test_other_programs_keep_their_path(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import densekd, helper\nprint(helper.VALUE)\n")
    (tmp_path / "helper.py").write_text("VALUE = 7\n")
    assert command(tmp_path, "-m", "program").strip() == "7"
    assert command(tmp_path, "program.py").strip() == "7"


def test_a_checkout_that_is_not_installed_runs_from_its_folder() -> None:
    assert "densekd" in command(SOURCE, "-m", "densekd", "--version")
