"""Schedulers: warned jobs are queued again, once; restarted ones go on with what they began."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from training_runs import assert_same, parsed, run

from densekd.run.folder import RunFolder
from densekd.run.job import job
from densekd.run.scheduler import existing_of, queue_again
from densekd.stopping import Interrupted, known_signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be job 77 of Slurm, whose scontrol writes down what it is asked."""
    said = tmp_path / "scontrol.txt"
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    return said


def test_only_a_warning_queues_a_job_again(queue: Path) -> None:
    assert signal.SIGUSR1 in known_signals()
    assert queue_again(Interrupted("x", signal.SIGTERM)) == ""
    assert not queue.exists()
    assert queue_again(Interrupted("x", signal.SIGUSR1)) == "Job 77 is queued again and goes on from there."
    assert queue.read_text() == "requeue 77\n"


def test_outside_of_a_job_the_signal_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert signal.SIGUSR1 not in known_signals()
    assert queue_again(Interrupted("x", signal.SIGUSR1)) == ""


def test_one_of_an_array_is_named_so(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    queue_again(Interrupted("x", signal.SIGUSR2))
    assert queue.read_text() == "requeue 70_3\n"


def test_what_scontrol_refuses_is_said(queue: Path) -> None:
    (queue.parent / "bin" / "scontrol").write_text("#!/bin/sh\necho Job is disabled >&2\nexit 1\n")
    said = queue_again(Interrupted("x", signal.SIGUSR1))
    assert said == "The job could not be queued again (Job is disabled); do it with: scontrol requeue 77"


def test_a_restarted_job_goes_on_with_what_it_began_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    folder = RunFolder(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    folder.environment.write_text(json.dumps({"job": job()}))
    assert existing_of(folder, "overwrite") == "overwrite"
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert existing_of(folder, "overwrite") == "resume"
    folder.environment.write_text(json.dumps({"job": "slurm 1"}))
    assert existing_of(folder, "overwrite") == "overwrite"
    folder.environment.write_text("{}")
    assert existing_of(folder, "refuse") == "refuse"


def test_a_warned_training_saves_is_queued_again_and_goes_on(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue: Path
) -> None:
    from densekd.distill.distiller import Distiller

    content, original, calls = parsed(recipe), Distiller.training_step, []
    run(content, tmp_path / "whole")

    def warned(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGUSR1)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Distiller, "training_step", warned)
        with pytest.raises(Interrupted, match=r"Stopped at step 3 of 6.*Job 77 is queued again") as stopped:
            run(content, tmp_path / "run")
    assert stopped.value.code == 128 + signal.SIGUSR1
    assert queue.read_text() == "requeue 77\n"
    # The same command, started again by the scheduler.
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    run(content, tmp_path / "run", "overwrite")
    assert_same(tmp_path / "whole", tmp_path / "run")
