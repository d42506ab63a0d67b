import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from densekd.doors import MODULE
from densekd.errors import RecipeError
from densekd.registry import resolve

SOURCE = Path(__file__).parents[1] / "src"

LOSS = """
import helper_of_mine
from torch import nn

class Loss(nn.Module):
    def forward(self, student, teacher, target=None):
        return helper_of_mine.VALUE
"""

START = """
import sys
before = list(sys.path)
from densekd.doors import MODULE
from densekd.registry import resolve
loss = resolve("loss_of_mine:Loss", {}, "loss", door=MODULE)()
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
    (tmp_path / "loss_of_mine.py").write_text(LOSS)
    (tmp_path / "helper_of_mine.py").write_text("import json\nVALUE = 3.0\n")
    (tmp_path / "not_installed").mkdir()
    (tmp_path / "json.py").write_text("")
    return tmp_path


def run(script: str, folder: Path, installed: Path = SOURCE) -> str:
    """Run a script as the console command runs: nothing of the current folder is on the path."""
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{installed}"}
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_folder_is_on_the_path_for_one_import_alone(folder: Path) -> None:
    assert run(START + NO_LIBRARY_IS_SHADOWED, folder) == "No module named 'not_installed'\njson json True"


def test_a_spawned_process_unpickles_an_own_class(folder: Path) -> None:
    assert "Loss()" in run(START + IN_A_SPAWNED_PROCESS, folder)


def test_libraries_that_an_own_module_imports_see_no_file_beside_it(folder: Path, tmp_path_factory: Any) -> None:
    installed = tmp_path_factory.mktemp("site")
    (installed / "a_library.py").write_text(
        "try:\n    import optional_one\n    SEEN = True\nexcept ImportError:\n    SEEN = False\n"
    )
    (folder / "optional_one.py").write_text("")
    (folder / "loss_of_mine.py").write_text("import a_library\n" + LOSS)
    script = START + f"import a_library\nprint(a_library.SEEN, a_library.__file__.startswith({str(installed)!r}))"
    assert run(script, folder, installed) == "False True"


def test_what_an_own_module_imports_later_is_found_beside_it(folder: Path) -> None:
    (folder / "later_of_mine.py").write_text("VALUE = 5\n")
    late = LOSS.replace("return helper_of_mine.VALUE", "import later_of_mine; return later_of_mine.VALUE")
    (folder / "loss_of_mine.py").write_text(late)
    (folder / "pack_of_mine").mkdir()
    script = START + "print(loss(1, 2))\ntry:\n    import pack_of_mine\nexcept ImportError as error:\n    print(error)"
    assert run(script, folder) == "5\nNo module named 'pack_of_mine'"


def test_a_module_inside_a_folder_without_init(folder: Path) -> None:
    (folder / "pack_of_mine").mkdir()
    (folder / "loss_of_mine.py").rename(folder / "pack_of_mine" / "loss.py")
    assert run(START.replace("loss_of_mine:", "pack_of_mine.loss:") + "print(loss(1, 2))", folder) == "3.0"


def test_a_module_that_fails_leaves_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_of_mine.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    with pytest.raises(RecipeError, match=r"cannot be imported: No module named 'no_such_thing_at_all'"):
        resolve("broken_of_mine:Loss", {}, "loss", door=MODULE)
    assert sys.path == before


def test_another_folder_comes_before_one_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "loss_of_two_folders.py").write_text(
            f"from torch import nn\nclass Loss(nn.Module):\n    place = {name!r}\n"
        )
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.delitem(sys.modules, "loss_of_two_folders", raising=False)
        assert resolve("loss_of_two_folders:Loss", {}, "loss", door=MODULE).place == name
    monkeypatch.delitem(sys.modules, "loss_of_two_folders")
