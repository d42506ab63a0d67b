"""Replacing a run: only what densekd made, and whatever the moment at which the process is killed."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from densekd.errors import UserError
from densekd.run.contents import MARKER, mark
from densekd.run.replace import discard, final_of, mend, mend_missing, new_of, require_replaceable, swap

SAID: list[str] = []


def make_run(folder: Path, content: str, marked: bool = True) -> Path:
    """Make what a run looks like; ``content`` tells it from others."""
    for name in ("checkpoints", "student", "tensorboard"):
        (folder / name).mkdir(parents=True)
    (folder / "recipe.yaml").write_text(content)
    (folder / "environment.json").write_text("{}")
    (folder / "checkpoints" / "last.ckpt").write_text(content)
    (folder / "student" / "config.json").write_text("{}")
    (folder / "tensorboard" / "events").write_text("x")
    if marked:
        mark(folder)
    return folder


def content_of(folder: Path) -> str:
    """Return which run is in a folder, and check that it is whole."""
    names = {path.name for path in folder.iterdir()} - {MARKER}
    assert names == {"checkpoints", "student", "tensorboard", "recipe.yaml", "environment.json"}
    assert (folder / "checkpoints" / "last.ckpt").read_text() == (folder / "recipe.yaml").read_text()
    return (folder / "recipe.yaml").read_text()


def test_names() -> None:
    assert new_of(Path("runs/x")) == Path("runs/.x.new")
    assert final_of(Path("runs/.x.new")) == Path("runs/x")
    assert final_of(Path("runs/x.new")) == Path("runs/x.new")
    assert new_of(Path()).name == f".{Path().resolve().name}.new"


@pytest.mark.parametrize("marked", [True, False])
def test_the_new_run_takes_the_place(tmp_path: Path, marked: bool) -> None:
    run = make_run(tmp_path / "x", "old", marked)
    new = make_run(new_of(run), "new")
    swap(run, SAID.append)
    assert content_of(run) == "new"
    # Until the process ends the former name leads to the run, for loggers that write by names.
    assert new.is_symlink()
    assert (new / "recipe.yaml").read_text() == "new"
    mend(run, SAID.append)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def moments(run: Path, every: int) -> Iterator[Path]:
    """Swap, and yield what a kill at each ``every``-th line of it, and behind the last one, would leave on the disk."""
    left: list[Path] = []
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        # Every line of the swap and of the removal is a moment.
        nonlocal lines
        lines += event == "line"
        if event == "line" and lines % every == 0:
            left.append(copy(run, f"{lines}"))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    swap(run, SAID.append)
    sys.settrace(before)
    yield from left
    yield copy(run, "end")


def copy(run: Path, name: str) -> Path:
    """Copy a run's neighborhood; return the run in it."""
    return Path(shutil.copytree(run.parent, run.parent.with_name(name), symlinks=True)) / run.name


@pytest.mark.parametrize("marked", [True, False])
def test_a_kill_at_any_moment_leaves_a_whole_run(tmp_path: Path, marked: bool) -> None:
    found: list[tuple[str, bool]] = []
    swapped = make_run(tmp_path / "swapped" / "x", "old", marked)
    make_run(new_of(swapped), "new")
    for run in moments(swapped, every=11):
        before = run.is_dir()
        mend(run, SAID.append)
        found.append((content_of(run), before))
        # Nothing is left but what was not begun.
        others = {path.name for path in run.parent.iterdir()} - {"x"}
        assert others == ({".x.new"} if content_of(run) == "old" else set())
    assert len(found) > 20
    # Before, between and behind the two renamings.
    assert {("old", True), ("new", False), ("new", True)} <= set(found)


@pytest.mark.parametrize("fails", [1, 2])
def test_a_renaming_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int) -> None:
    run = make_run(tmp_path / "x", "old")
    make_run(new_of(run), "new")
    original, calls = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        calls.append(1)
        if len(calls) == fails:
            raise PermissionError(13, "held open by another program")
        return original(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(PermissionError):
            swap(run, SAID.append)
    assert content_of(run) == "old"
    assert content_of(new_of(run)) == "new"


def test_killed_between_the_two_renamings(tmp_path: Path) -> None:
    # The new run has its checkpoint: it goes into its place.
    run = make_run(tmp_path / "x", "old")
    make_run(new_of(run), "new")
    run.rename(tmp_path / ".x.old")
    said: list[str] = []
    mend(run, said.append)
    assert content_of(run) == "new"
    assert "the new run is in place now" in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    # The new run is gone: the old one comes back.
    run.rename(tmp_path / ".x.old")
    mend(run, said.append)
    assert content_of(run) == "new"
    assert "the old run is back in its place" in said[1]


def test_an_old_run_that_became_more_is_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "x", "old")
    make_run(new_of(run), "new")
    (run / "notes.txt").write_text("mine")
    (tmp_path / "x.old").mkdir()
    said: list[str] = []
    swap(run, said.append)
    assert content_of(run) == "new"
    assert (tmp_path / "x.old-2" / "notes.txt").read_text() == "mine"
    assert "notes.txt" in said[0]


def test_half_removed_runs_are_known_for_what_they_are(tmp_path: Path) -> None:
    for name in (".x.old", ".y.old"):
        (tmp_path / name).mkdir()
    mark(tmp_path / ".x.old")
    discard(tmp_path / ".x.old", SAID.append)
    discard(tmp_path / ".y.old", SAID.append)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "runs" / "x", "old")
    require_replaceable(run)
    project = tmp_path / "project"
    project.mkdir()
    (project / "recipe.yaml").write_text("mine")
    with pytest.raises(UserError, match="no run folder; it is not overwritten"):
        require_replaceable(project)
    (tmp_path / "link").symlink_to(run)
    with pytest.raises(UserError, match=f"link is a link to {run}"):
        require_replaceable(tmp_path / "link")
    for here in (run, run / "student"):
        monkeypatch.chdir(here)
        with pytest.raises(UserError, match="is, or holds, the current folder"):
            require_replaceable(run)
        with pytest.raises(UserError, match="is, or holds, the current folder"):
            require_replaceable(Path())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "is_mount", lambda self: True)
    with pytest.raises(UserError, match="a disk of its own"):
        require_replaceable(run)


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "data/a.png",
        "checkpoints/keep.ckpt",
        "student/mine.onnx",
        "baseline/notes.txt",
        "teacher/",
    ],
)
def test_foreign_files_are_named(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "x", "old")
    path = run / name
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if name.endswith("/") else path.write_text("mine")
    with pytest.raises(UserError, match=f"holds what no run writes: {name.partition('a.png')[0]}"):
        require_replaceable(run)


def test_links_in_a_run_are_foreign(tmp_path: Path) -> None:
    run = make_run(tmp_path / "x", "old")
    (tmp_path / "elsewhere").mkdir()
    (run / "predictions").symlink_to(tmp_path / "elsewhere")
    (run / "tensorboard" / "all").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"predictions \(a link\), tensorboard/all \(a link\)"):
        require_replaceable(run)


def test_leftovers_of_writers_and_file_managers_are_nobodys(tmp_path: Path) -> None:
    run = make_run(tmp_path / "x", "old")
    for name in (".DS_Store", "checkpoints/.last.123.tmp.ckpt", "checkpoints/last.ckpt.damaged", "student/Thumbs.db"):
        (run / name).write_text("")
    require_replaceable(run)


def test_the_marker_has_an_id_of_its_own(tmp_path: Path) -> None:
    ids = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        mark(tmp_path / name)
        mark(tmp_path / name)
        ids.add(json.loads((tmp_path / name / MARKER).read_text())["run"])
    assert len(ids) == 2


def test_what_is_waiting_is_ours_or_left_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "x", "old")
    # Killed before anything was written.
    new_of(run).mkdir()
    (new_of(run) / "densekd.lock").write_text("")
    mend(run, SAID.append)
    assert not new_of(run).exists()
    # Somebody's link.
    new_of(run).symlink_to(tmp_path)
    mend(run, SAID.append)
    assert new_of(run).is_symlink()


def test_a_name_that_is_missing_is_brought_back(tmp_path: Path) -> None:
    run = make_run(tmp_path / "x", "old")
    run.rename(tmp_path / ".x.old")
    for name in ("", "a" * 5000, "\0", "cirkd-deeplabv3", str(run)):
        mend_missing(name, SAID.append)
    assert content_of(run) == "old"
