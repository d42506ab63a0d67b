"""Two generations of checkpoints: a damaged one gives way to the one before it, and that is said."""

import io
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import CPU, StopAt, assert_same, losses, parsed, run

from densekd.errors import UserError
from densekd.run.checkpoint_files import SealedCheckpoints, newest_checkpoint, previous_of, read_checkpoint
from densekd.run.folder import RunFolder
from densekd.run.train import train
from densekd.stopping import Interrupted
from densekd.terminal import Terminal


def test_the_one_before_the_last_is_kept(tmp_path: Path) -> None:
    files, last = SealedCheckpoints(), tmp_path / "last.ckpt"
    for step in range(3):
        files.save_checkpoint({"state_dict": {}, "step": step}, last)
    assert read_checkpoint(last) == {"state_dict": {}, "step": 2}
    assert read_checkpoint(previous_of(last)) == {"state_dict": {}, "step": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "previous.ckpt"}


def test_there_is_a_last_one_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, last = SealedCheckpoints(), tmp_path / "last.ckpt"
    files.save_checkpoint({"state_dict": {}, "step": 0}, last)
    rename, there = Path.replace, []

    def renamed(self: Path, target: Path) -> Path:
        done = rename(self, target)
        there.append(last.is_file())
        return done

    monkeypatch.setattr(Path, "replace", renamed)
    files.save_checkpoint({"state_dict": {}, "step": 1}, last)
    assert there == [True, True]
    assert read_checkpoint(last) == {"state_dict": {}, "step": 1}
    assert read_checkpoint(previous_of(last)) == {"state_dict": {}, "step": 0}


def test_a_file_system_without_second_names_keeps_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    files, last = SealedCheckpoints(), tmp_path / "last.ckpt"
    for step in range(2):
        files.save_checkpoint({"state_dict": {}, "step": step}, last)
    assert read_checkpoint(last) == {"state_dict": {}, "step": 1}
    assert read_checkpoint(previous_of(last)) == {"state_dict": {}, "step": 0}


def test_a_failed_write_keeps_both(tmp_path: Path) -> None:
    files, last = SealedCheckpoints(), tmp_path / "last.ckpt"
    files.save_checkpoint({"state_dict": {}, "step": 0}, last)
    with pytest.raises(Exception, match="pickle"):
        files.save_checkpoint({"state_dict": {}, "step": lambda: 1}, last)
    assert read_checkpoint(last) == {"state_dict": {}, "step": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    run_folder = RunFolder(tmp_path)
    SealedCheckpoints().save_checkpoint({"state_dict": {}, "step": 0}, run_folder.last)
    # No process has this number: it is beyond what Linux counts to.
    dead, alive = (run_folder.last.parent / f".last.{number}.tmp.ckpt" for number in (4194305, 1))
    dead.touch()
    alive.touch()
    assert newest_checkpoint(run_folder) == (run_folder.last, [])
    assert not dead.exists()
    assert alive.exists()


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "bit":
        place = len(whole) // 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    else:
        content = {"half": whole[: len(whole) // 2], "zeros": b"\0" * len(whole), "text": b"x" * 99, "empty": b""}
        path.write_bytes(content[kind])


@pytest.fixture(scope="module")
def stopped(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """A whole run, and the same run stopped at step 5, with checkpoints of steps 5, 4 and the best."""
    from tiny_data import tiny_recipe

    content = tiny_recipe(data_root)
    content["training"] |= {"steps": 8, "validate_every": 2, "checkpoint_every": 1}
    recipe, folder = parsed(content), tmp_path_factory.mktemp("stopped")
    run(recipe, folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, 5, signal.SIGTERM)
        with pytest.raises(Interrupted):
            run(recipe, folder / "parts")
    return folder / "whole", folder / "parts", recipe


@pytest.mark.parametrize("kind", ["bit", "half", "zeros", "text", "empty", "folder"])
def test_a_damaged_last_checkpoint_gives_way(stopped: tuple[Path, Path, Any], tmp_path: Path, kind: str) -> None:
    whole, parts, recipe = stopped
    shutil.copytree(parts, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    damage(folder.last, kind)
    console = Terminal(record=True, width=500, file=io.StringIO())
    train(recipe, folder, CPU, "resume", console)
    said = [line for line in console.export_text().splitlines() if " is damaged: " in line]
    assert len(said) == 1
    assert "last.ckpt is damaged: " in said[0]
    assert "going on from" in said[0]
    assert "previous.ckpt" in said[0]
    assert_same(whole, folder.path)
    assert losses(whole) == losses(folder.path)
    # It is put aside, not removed.
    assert folder.last.with_name("last.ckpt.damaged").exists()


def test_without_a_sound_one_nothing_is_touched(stopped: tuple[Path, Path, Any], tmp_path: Path) -> None:
    _, parts, recipe = stopped
    shutil.copytree(parts, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    for path in (folder.last, previous_of(folder.last), folder.best):
        damage(path, "half")
    before = sorted(path.name for path in folder.last.parent.iterdir())
    with pytest.raises(UserError, match=r"last\.ckpt is damaged.*previous\.ckpt.*best\.ckpt.*No sound checkpoint"):
        run(recipe, folder.path, "resume")
    assert sorted(path.name for path in folder.last.parent.iterdir()) == before


def test_the_best_one_is_the_last_resort(stopped: tuple[Path, Path, Any], tmp_path: Path) -> None:
    whole, parts, recipe = stopped
    shutil.copytree(parts, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    for path in (folder.last, previous_of(folder.last)):
        damage(path, "bit")
    assert torch.load(folder.best, weights_only=True)["global_step"] < 5
    run(recipe, folder.path, "resume")
    assert_same(whole, folder.path)
