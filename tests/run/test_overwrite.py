"""``--overwrite`` looks first and deletes last; two trainings never share a folder."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from damage import restored
from forked import Forked
from rich.console import Console
from tiny_data import tiny_recipe
from training_runs import CPU, StopAt, assert_same, losses, parsed, run

from densekd.errors import RecipeError, UserError
from densekd.recipe import dump_recipe
from densekd.run.contents import foreign_files, is_made_by_densekd
from densekd.run.folder import RunFolder, default_run
from densekd.run.lock import locked
from densekd.run.train import train
from densekd.seal import sealed_text
from densekd.stopping import Interrupted


@pytest.fixture(scope="module")
def content(data_root: Path) -> dict[str, Any]:
    """A recipe whose first checkpoint stands after two of four steps."""
    content = tiny_recipe(data_root)
    content["training"] |= {"steps": 4, "checkpoint_every": 2, "validate_every": 0, "log_every": 1, "seed": 1}
    return content


@pytest.fixture(scope="module")
def clean(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of that recipe that nobody disturbed."""
    folder = tmp_path_factory.mktemp("clean") / "run"
    run(parsed(content), folder)
    return folder


@pytest.fixture(scope="module")
def another(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of another seed."""
    folder = tmp_path_factory.mktemp("another") / "run"
    run(parsed(with_seed(content, 2)), folder)
    return folder


@pytest.fixture
def old(another: Path, tmp_path: Path) -> Path:
    """That run, the test's to change."""
    return restored(another, tmp_path / "runs" / "x")


def with_seed(content: dict[str, Any], seed: int) -> dict[str, Any]:
    return content | {"training": content["training"] | {"seed": seed}}


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Sizes and times of all files of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class FailAt:
    """Raise an error when step ``n`` begins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int, error: BaseException) -> None:
        from densekd.distill.distiller import Distiller

        original = Distiller.training_step

        def step(self: Any, *arguments: Any) -> Any:
            if self.trainer.global_step + 1 == n:
                raise error
            return original(self, *arguments)

        monkeypatch.setattr(Distiller, "training_step", step)


def test_the_new_run_is_the_one_that_was_asked_for(content: dict[str, Any], clean: Path, old: Path) -> None:
    results = run(parsed(content), old, "overwrite")
    assert_same(clean, old)
    assert losses(clean) == losses(old)
    assert results["student"]["images"] == 3
    assert (old / "recipe.yaml").read_text() == sealed_text(dump_recipe(parsed(content)))
    # The records of loggers moved with it, nothing else is left.
    assert [path.name for path in (old / "tensorboard").iterdir() if "events" in path.name]
    assert names(old) == names(clean)
    assert names(old.parent) == ["x"]
    assert is_made_by_densekd(old)
    assert foreign_files(old) == []


def test_the_baseline_is_trained_anew(content: dict[str, Any], old: Path) -> None:
    results = run(parsed(content | {"baseline": "train"}), old, "overwrite")
    assert results["baseline"]["images"] == 3
    assert names(old.parent) == ["x"]
    assert foreign_files(old) == []
    # A run with all that belongs to it is replaced again.
    run(parsed(content), old, "overwrite")
    assert "baseline" not in names(old)


def test_a_recipe_that_cannot_be_trained_leaves_the_old_run(content: dict[str, Any], old: Path) -> None:
    before = state(old)
    for change in ({"data": content["data"] | {"root": "missing"}}, {"teacher": {"checkpoint": "missing.pth"}}):
        with pytest.raises(UserError):
            run(parsed(content | change), old, "overwrite")
    assert state(old) == before
    assert names(old.parent) == ["x"]


@pytest.mark.parametrize("error", [UserError("The loss is not finite"), MemoryError(), KeyboardInterrupt()])
def test_a_failure_before_the_first_checkpoint_leaves_the_old_run(
    content: dict[str, Any], old: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = state(old)
    with monkeypatch.context() as patch:
        FailAt(patch, 1, error)
        # Lightning makes an exit of Ctrl-C.
        with pytest.raises((type(error), SystemExit)):
            run(parsed(content), old, "overwrite")
    assert state(old) == before
    assert names(old.parent) == ["x"]


def test_steps_without_a_checkpoint_are_kept_and_named(
    content: dict[str, Any], old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(old)
    with monkeypatch.context() as patch:
        FailAt(patch, 2, UserError("The loss is not finite"))
        with pytest.raises(UserError, match="not finite"):
            train(parsed(content), RunFolder(old), CPU, "overwrite", Console(width=1000))
    assert state(old) == before
    printed = capsys.readouterr().out
    assert "the old run is as it was" in printed
    assert f"densekd train {old.parent / '.x.new'} --resume" in printed
    # The corrected command begins anew.
    run(parsed(content), old, "overwrite")
    assert names(old.parent) == ["x"]


def test_a_failure_behind_the_first_checkpoint_leaves_the_new_run(
    content: dict[str, Any], clean: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        FailAt(patch, 4, MemoryError())
        with pytest.raises(MemoryError):
            run(parsed(content), old, "overwrite")
    assert names(old.parent) == ["x"]
    assert (old / "recipe.yaml").read_text() == sealed_text(dump_recipe(parsed(content)))
    run(parsed(content), old, "resume")
    assert_same(clean, old)


def test_a_stop_saves_and_replaces(
    content: dict[str, Any], clean: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        StopAt(patch, 1, signal.SIGTERM)
        with pytest.raises(Interrupted, match=rf"step 1 of 4; continue with: densekd train {old} --resume"):
            run(parsed(content), old, "overwrite")
    assert names(old.parent) == ["x"]
    run(parsed(content), old, "resume")
    assert_same(clean, old)


KILLED = """
import os, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from rich.console import Console
from densekd.distill.distiller import Distiller
from densekd.recipe import load_recipe
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.train import train
recipe, folder, existing, step, wait = sys.argv[1:]
original = Distiller.training_step
def training_step(self, *arguments):
    if self.trainer.global_step + 1 == int(step):
        if wait == "wait":
            print("waiting", flush=True)
            time.sleep(100)
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *arguments)
Distiller.training_step = training_step
train(load_recipe(Path(recipe)), RunFolder(Path(folder)), Launch("cpu", "1"), existing, Console(quiet=True))
"""


def start(content: dict[str, Any], folder: Path, existing: str, step: int, wait: str = "") -> Forked:
    """Train in another process that is killed, or waits, when a step begins."""
    recipe = folder.parent.parent / "killed.yaml"
    recipe.write_text(dump_recipe(parsed(content)))
    return Forked("-c", KILLED, recipe, folder, existing, step, wait, out=recipe.with_name("said"))


def kill(content: dict[str, Any], folder: Path, existing: str, step: int) -> None:
    assert start(content, folder, existing, step).wait() == -signal.SIGKILL


def test_a_kill_in_the_first_steps_leaves_both_and_resume_goes_on_with_the_new(
    content: dict[str, Any], clean: Path, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(old)
    kill(content, old, "overwrite", 2)
    assert {key: value for key, value in state(old).items() if not key.endswith("densekd.lock")} == before
    with pytest.raises(UserError, match=r"A run that was to replace it was interrupted.* --resume goes on"):
        run(parsed(content), old)
    # The old run's recipe could mean either of them.
    with pytest.raises(RecipeError, match=r"keys differ: training.seed\. Go on with that one: densekd train .*x\.new"):
        run(parsed(with_seed(content, 2)), old, "resume")
    assert default_run(parsed(content), old.parent / ".x.new") == RunFolder(old)
    train(parsed(content), RunFolder(old), CPU, "resume", Console(width=1000))
    assert "going on with the run that will replace it" in capsys.readouterr().out
    assert names(old.parent) == ["x"]
    assert_same(clean, old)


def test_a_kill_behind_the_first_checkpoint_leaves_the_new_run(content: dict[str, Any], clean: Path, old: Path) -> None:
    kill(content, old, "overwrite", 4)
    assert (old / "recipe.yaml").read_text() == sealed_text(dump_recipe(parsed(content)))
    run(parsed(content), old, "resume")
    assert_same(clean, old)
    assert names(old.parent) == ["x"]


def test_a_killed_start_does_not_block_the_corrected_command(content: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "x"
    kill(content, folder, "refuse", 1)
    assert (folder / "recipe.yaml").is_file()
    run(parsed(with_seed(content, 3)), folder)
    assert (folder / "recipe.yaml").read_text() == sealed_text(dump_recipe(parsed(with_seed(content, 3))))


@pytest.mark.parametrize("begun", ["resume", "overwrite"])
def test_a_folder_in_which_another_training_runs_is_refused(
    content: dict[str, Any], clean: Path, another: Path, tmp_path: Path, begun: str
) -> None:
    folder = tmp_path / "runs" / "x"
    if begun == "overwrite":
        restored(another, folder)
    other = start(content, folder, begun, 2, "wait")
    try:
        said = tmp_path / "said"
        while other.poll() is None and (not said.exists() or said.read_text() != "waiting\n"):
            time.sleep(0.02)
        assert other.poll() is None
        before = state(folder.parent)
        for existing in ("refuse", "resume", "overwrite"):
            with pytest.raises(UserError, match=rf"another training runs in it: process {other.pid} on "):
                run(parsed(content), folder, existing)
        assert state(folder.parent) == before
    finally:
        other.kill()
        other.wait()
    run(parsed(content), folder, "resume")
    assert_same(clean, folder)


def test_who_begins_in_the_meantime_is_not_replaced(content: dict[str, Any], tmp_path: Path) -> None:
    from densekd.run.claim import claim_run

    run_folder = RunFolder(tmp_path / "x")
    first = claim_run(run_folder, parsed(content), "refuse")
    with locked(run_folder.path):
        (run_folder.path / "recipe.yaml").write_text("another")
    with pytest.raises(UserError, match="exists"), first.taken():
        pass
    assert (run_folder.path / "recipe.yaml").read_text() == "another"


def test_teacher_and_data_of_the_new_run_are_not_deleted(content: dict[str, Any], old: Path, tmp_path: Path) -> None:
    before = state(old)
    itself = {"teacher": {"checkpoint": str(old)}, "distill": [{"method": "cwd", "weight": 1}]}
    with pytest.raises(UserError, match=r"x holds .*x, which teacher.checkpoint names; it is not overwritten"):
        run(parsed(content | itself), old, "overwrite")
    student = content["student"] | {"checkpoint": f"{old}/student"}
    with pytest.raises(UserError, match=r"which student.checkpoint names"):
        run(parsed(content | {"student": student}), old, "overwrite")
    (tmp_path / "link").symlink_to(old / "predictions")
    with pytest.raises(UserError, match=r"which data.root names"):
        run(parsed(content | {"data": content["data"] | {"root": str(tmp_path / "link")}}), old, "overwrite")
    assert state(old) == before


def test_a_project_folder_is_not_deleted(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "recipe.yaml").write_text(dump_recipe(parsed(content)))
    (project / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="no run folder; it is not overwritten"):
        run(parsed(content), project, "overwrite")
    # As a training once wrote its recipe there.
    (project / "environment.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds what no run writes: thesis\.txt"):
        run(parsed(content), project, "overwrite")
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match="the current folder"):
        run(parsed(content), Path(), "overwrite")
    assert names(project) == ["environment.json", "recipe.yaml", "thesis.txt"]
    # Nor is anything written into it.
    (project / "recipe.yaml").unlink()
    with pytest.raises(UserError, match=r"no run to resume; it holds thesis\.txt"):
        run(parsed(content), project, "resume")


def test_runs_of_older_versions_are_recognized(content: dict[str, Any], clean: Path, old: Path) -> None:
    (old / "densekd-run.json").unlink()
    run(parsed(content), old, "overwrite")
    assert_same(clean, old)


def test_a_swap_that_fails_is_tried_again_at_the_end(
    content: dict[str, Any], clean: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if self.name == "x":
            calls.append(time.monotonic())
            if len(calls) == 1:
                raise PermissionError(13, "held open by another program")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    run(parsed(content), old, "overwrite")
    assert len(calls) == 2
    assert_same(clean, old)
    assert names(old.parent) == ["x"]


def test_other_processes_of_the_training_take_no_lock(
    content: dict[str, Any], old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from densekd.run.claim import claim_run

    recipe, folder = parsed(content), RunFolder(old)
    first = claim_run(folder, recipe, "overwrite")
    with first.taken():
        monkeypatch.setenv("LOCAL_RANK", "1")
        second = claim_run(folder, recipe, "overwrite")
        assert second.work == first.work
        before = state(old.parent)
        with second.taken():
            second.swap()
        assert state(old.parent) == before
        monkeypatch.delenv("LOCAL_RANK")
    assert state(old.parent / ".x.new")


def test_an_interrupted_replacement_of_a_run_that_is_gone_is_kept(content: dict[str, Any], old: Path) -> None:
    kill(content, old, "overwrite", 2)
    old.rename(old.with_name("moved"))
    run(parsed(with_seed(content, 3)), old)
    assert names(old.parent) == ["moved", "x", "x.new"]


def test_a_foreign_folder_of_the_prepared_runs_name_is_left_alone(content: dict[str, Any], old: Path) -> None:
    mine = old.parent / ".x.new"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"\.x\.new holds no recipe\.yaml, so it is no run folder"):
        run(parsed(content), old, "overwrite")
    assert names(mine) == ["notes.txt"]


def test_a_part_of_a_file_of_the_old_run_is_seen(content: dict[str, Any], old: Path) -> None:
    part = {"teacher": {"checkpoint": f"{old}/checkpoints/last.ckpt#student"}}
    with pytest.raises(UserError, match=r"which teacher.checkpoint names"):
        run(parsed(content | part | {"distill": [{"method": "cwd", "weight": 1}]}), old, "overwrite")
