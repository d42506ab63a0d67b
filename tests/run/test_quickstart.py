"""The quickstart on a miniature: every file, the comparison, and going on after an interruption."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from densekd.data.demo.dataset import make_demo
from densekd.errors import UserError
from densekd.run import quickstart as module
from densekd.run.contents import foreign_files
from densekd.run.lock import locked
from densekd.run.quickstart import quickstart
from densekd.terminal import Terminal

SHIPPED = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped recipes, cut down to two steps on tiny pictures."""
    monkeypatch.setattr(module, "IMAGES", {"train": 4, "val": 2})
    monkeypatch.setattr(module, "SIZE", (32, 48))
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name in ("quickstart", "quickstart-teacher"):
        content: dict[str, Any] = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())
        content["augment"]["crop"] = [32, 32]
        content["training"] |= {"steps": 2, "validate_every": 0}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_quickstart_compares_and_goes_on(recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"

    def fail(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "make_demo", lambda *a, **k: (run / "data").mkdir(parents=True) or fail())
        with pytest.raises(KeyboardInterrupt):
            quickstart(run, recipes, False, Terminal(quiet=True))
    comparison = quickstart(run, recipes, False, Terminal(quiet=True))
    assert json.loads((run / "comparison.json").read_text()) == comparison
    assert list(comparison) == ["teacher", "alone", "distilled"]
    results = json.loads((run / "results.json").read_text())
    assert comparison["alone"]["miou"] == results["baseline"]["miou"]
    assert comparison["distilled"]["miou"] == results["student"]["miou"]
    assert all(0 <= scores["miou"] <= 100 for scores in comparison.values())
    assert (run / "report.html").is_file()
    assert quickstart(run, recipes, False, Terminal(quiet=True)) == comparison


def test_another_folder_is_left_alone(recipes: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="exists and is no quickstart"):
            quickstart(tmp_path / "mine", recipes, overwrite, Terminal(quiet=True))
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_only_what_the_quickstart_made_is_removed(recipes: Path, tmp_path: Path) -> None:
    # Anybody's folder may have data/ in it.
    mine = tmp_path / "p"
    (mine / "data").mkdir(parents=True)
    (mine / "data" / "classes.json").write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="exists and is no quickstart: it holds data/"):
            quickstart(mine, recipes, overwrite, Terminal(quiet=True))
    # A picture of one's own among those of the quickstart.
    run = tmp_path / "run"
    make_demo(run / "data", {"train": 1}, (32, 48), seed=0)
    extra = run / "data" / "images" / "train" / "holiday.png"
    extra.write_text("x")
    with pytest.raises(UserError, match=r"it holds data/images/train/holiday\.png"):
        quickstart(run, recipes, True, Terminal(quiet=True))
    assert extra.is_file()
    extra.unlink()
    with locked_elsewhere(run), pytest.raises(UserError, match="another training of this process runs in it"):
        quickstart(run, recipes, True, Terminal(quiet=True))
    (run / "data" / "images" / "train" / "demo_00000.png").write_text("damaged")
    quickstart(run, recipes, True, Terminal(quiet=True))
    assert (run / "report.html").is_file()
    assert (run / "data" / "images" / "train" / "demo_00000.png").stat().st_size > 100
    assert foreign_files(run) == []


@contextmanager
def locked_elsewhere(folder: Path) -> Iterator[None]:
    """Let another thread hold a folder's lock."""
    begin, end = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(folder):
            begin.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    begin.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_the_student_of_the_quickstart_is_the_one_of_its_baseline() -> None:
    content = yaml.safe_load((SHIPPED / "quickstart.yaml").read_text())
    assert content["baseline"] == "train"
    assert content["distill"][0]["method"] == "cwd"
