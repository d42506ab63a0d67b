import os
import subprocess
import sys
from pathlib import Path

import pytest

from densekd.errors import RecipeError
from densekd.registry import resolve

SOURCE = Path(__file__).parents[1] / "src"

MODULE = """
import helper_of_mine
from torch import nn

class Loss(nn.Module):
    def forward(self, student, teacher, target=None):
        return helper_of_mine.VALUE
"""

START = """
import sys
before = list(sys.path)
from densekd.registry import resolve
loss = resolve("loss_of_mine:Loss", {}, "loss")()
assert sys.path == before, sys.path
"""

# Only what is unpickled is imported in the other process: a command given by -c is not run there again.
IN_A_SPAWNED_PROCESS = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from densekd.ops.boxes import Boxes
with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
    print(pool.submit(repr, Boxes([loss], [], None)).result())
"""

NO_LIBRARY_IS_SHADOWED = """
for name in ("not_installed", "json"):
    try:
        print(name, __import__(name).__name__, hasattr(__import__(name), "dumps"))
    except ModuleNotFoundError as error:
        print(error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module, one that it imports, and two that have the names of libraries."""
    (tmp_path / "loss_of_mine.py").write_text(MODULE)
    (tmp_path / "helper_of_mine.py").write_text("import json\nVALUE = 3.0\n")
    (tmp_path / "not_installed").mkdir()
    (tmp_path / "json.py").write_text("")
    return tmp_path


def run(script: str, folder: Path) -> str:
    """Run a script as the console command runs: nothing of the current folder is on the path."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_folder_is_on_the_path_for_one_import_alone(folder: Path) -> None:
    assert run(START + NO_LIBRARY_IS_SHADOWED, folder) == "No module named 'not_installed'\njson json True"


def test_a_spawned_process_unpickles_an_own_class(folder: Path) -> None:
    assert "Loss()" in run(START + IN_A_SPAWNED_PROCESS, folder)


def test_a_module_that_fails_leaves_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_of_mine.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    with pytest.raises(RecipeError, match=r"cannot be imported: No module named 'no_such_thing_at_all'"):
        resolve("broken_of_mine:Loss", {}, "loss")
    assert sys.path == before
