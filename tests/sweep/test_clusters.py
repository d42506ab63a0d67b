"""Sweeps by jobs and tasks of other engines: submitit's executors without Slurm, a local cluster of Ray."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import filled, tiny_sweep, write_sweep

from densekd.errors import UserError
from densekd.sweep import on_ray, on_slurm
from densekd.sweep.here import Processes
from densekd.sweep.leaderboard import leaderboard
from densekd.sweep.progress import Progress
from densekd.sweep.queue import Queue
from densekd.sweep.sections import RaySpec, SlurmSpec
from densekd.terminal import Terminal

CPU = Processes(jobs=2, accelerator="cpu")


@pytest.fixture
def queue(recipe: dict[str, Any], tmp_path: Path) -> Queue:
    """Two trials of a student alone."""
    sweep = tiny_sweep()
    del sweep["axes"]["method"]["cwd"]
    return filled(write_sweep(tmp_path, recipe, sweep), tmp_path / "out")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("cluster", ["debug", "local"])
def test_jobs_of_submitit_work_off_a_sweep(cluster: str, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="densekd[slurm] is not installed")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if cluster == "local":
        monkeypatch.setattr(on_slurm, "_parameters", lambda spec, name: {"timeout_min": 10})
    jobs = on_slurm.submit_jobs(queue, SlurmSpec(), CPU, cluster)
    assert len({job.job_id for job in jobs}) == 2
    for job in jobs:
        # Submitit looks at its local processes once a minute.
        process = getattr(job, "_process", None)
        assert process is None or process.wait(300) == 0
    # Each trial is trained by one of the two.
    assert sum(job.result() for job in jobs) == 2
    assert [queue.state(entry.name) for entry in queue.entries] == ["done", "done"]
    assert len(leaderboard(queue)) == 1
    assert all(len(list(queue.claims.folder.glob(f"{entry.name}.*"))) == 1 for entry in queue.entries)


def test_slurm_is_asked_in_its_own_words() -> None:
    submitit = pytest.importorskip("submitit", reason="densekd[slurm] is not installed")
    spec = SlurmSpec(minutes=90, partition="gpu", gpus=1, gigabytes=16, more={"qos": "low"})
    found = on_slurm._parameters(spec, "x")
    assert found["slurm_partition"] == "gpu"
    assert (found["timeout_min"], found["gpus_per_node"], found["mem_gb"]) == (90, 1, 16)
    assert set(found) - {"slurm_partition", "slurm_additional_parameters"} <= set(
        submitit.AutoExecutor._typed_parameters()
    )


def test_without_slurm_it_is_said(queue: Queue) -> None:
    pytest.importorskip("submitit", reason="densekd[slurm] is not installed")
    with pytest.raises(UserError, match="--on slurm: the jobs cannot be submitted"):
        on_slurm.submit(queue, SlurmSpec(), CPU)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of Ray with two processors, on this machine."""
    ray = pytest.importorskip("ray", reason="densekd[ray] is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's own processes leave sockets and files to the end of the process.
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_tasks_of_ray_work_off_a_sweep(cluster: Any, queue: Queue) -> None:
    on_ray.run_on_ray(queue, RaySpec(cpus=1), CPU, Progress(queue, Terminal(quiet=True)))
    assert [queue.state(entry.name) for entry in queue.entries] == ["done", "done"]
    assert len(leaderboard(queue)) == 1
    assert all(len(list(queue.claims.folder.glob(f"{entry.name}.*"))) == 1 for entry in queue.entries)


def test_without_a_cluster_it_is_said(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="densekd[ray] is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "localhost:1")
    with pytest.raises(UserError, match="ray start --head"):
        on_ray.run_on_ray(queue, RaySpec(), CPU, Progress(queue, Terminal(quiet=True)))


def test_a_missing_extra_is_named(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"densekd\[slurm\]"):
        on_slurm.submit(queue, SlurmSpec(), CPU)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"densekd\[ray\]"):
        on_ray.run_on_ray(queue, RaySpec(), CPU, Progress(queue, Terminal(quiet=True)))
