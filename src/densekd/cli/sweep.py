"""Command that trains many: ``sweep``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from densekd.cli.arguments import JsonPath, Trust
from densekd.cli.console import console, print_next, print_plain, write_json
from densekd.cli.own_files import SWEPT, Force, require_own_json
from densekd.errors import UserError
from densekd.trust import trust_modules

if TYPE_CHECKING:
    from densekd.sweep.queue import Queue
    from densekd.sweep.sections import SweepSpec

Where = Literal["here", "slurm", "ray"]
File = Annotated[Path, typer.Argument(help="a YAML file: recipe, axes, seeds; see docs/sweep.md")]
Out = Annotated[Path | None, typer.Option("--out", help="folder of the sweep; default runs/<name>")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="processes that train")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="of each process, here")]
On = Annotated[Where, typer.Option("--on", help="this machine, jobs of Slurm, or a Ray cluster")]
Status = Annotated[bool, typer.Option("--status", help="show what became of each trial; train nothing")]
Retry = Annotated[bool, typer.Option("--retry-failed", help="try failed trials again, from their checkpoints")]


def sweep(
    file: File,
    out: Out = None,
    jobs: Jobs = 1,
    threads: Threads = 1,
    on: On = "here",
    status: Status = False,
    retry_failed: Retry = False,
    accelerator: Annotated[str, typer.Option(help="of each training: auto, cpu, gpu, ...")] = "auto",
    devices: Annotated[str, typer.Option(help="of each training")] = "1",
    trust: Trust = None,
    json: JsonPath = None,
    force: Force = False,
) -> int:
    """Train the trials of a sweep by any number of processes. The same command goes on after a stop."""
    require_own_json(json, SWEPT, force)
    trust_modules(trust)
    from densekd.sweep.reading import load_sweep
    from densekd.sweep.trials import make_trials

    # All recipes are checked before anything is written or trained.
    spec = load_sweep(file)
    folder = out or Path("runs") / spec.name
    if status:
        return _show_status(folder, json)
    trials = make_trials(spec, file)
    from densekd.sweep.groups import describe_groups
    from densekd.sweep.here import Processes
    from densekd.sweep.progress import summary
    from densekd.sweep.queue import fill_queue

    if spec.together and devices != "1":
        raise UserError(f"--devices {devices}: trials that are trained together have one process, on one device.")
    queue = fill_queue(folder, spec, trials)
    if retry_failed:
        queue.forgive()
    print_plain(f"{len(trials)} trials in {folder}: {summary(queue)}")
    if spec.together:
        print_plain(describe_groups(spec, trials))
    settings = Processes(jobs, threads, accelerator, devices, tuple(trust or ()))
    if on == "slurm":
        from densekd.sweep.on_slurm import submit

        numbers = ", ".join(submit(queue, spec.slurm, settings))
        print_plain(f"submitted to Slurm: {numbers}; look at them with --status")
        print_next("densekd", "sweep", file, "--status")
        return 0
    _train(queue, spec, settings, on)
    return _show_end(queue, json)


def _train(queue: "Queue", spec: "SweepSpec", settings: object, on: Where) -> None:
    """Train what is left, here or on a cluster of Ray."""
    from densekd.sweep.here import Processes, run_here
    from densekd.sweep.progress import Progress

    assert isinstance(settings, Processes)
    progress = Progress(queue, console)
    if on == "ray":
        from densekd.sweep.on_ray import run_on_ray

        run_on_ray(queue, spec.ray, settings, progress)
        return
    run_here(queue, settings, progress)


def _show_status(folder: Path, json: Path | None) -> int:
    """Print every trial and the leaderboard so far; return 1 where some have failed."""
    from densekd.sweep.progress import status_table, summary
    from densekd.sweep.queue import open_queue

    queue = open_queue(folder)
    console.print(status_table(queue))
    print_plain(f"{len(queue.entries)} trials: {summary(queue)}")
    return _show_end(queue, json)


def _show_end(queue: "Queue", json: Path | None) -> int:
    """Print the leaderboard and what failed; return the exit status."""
    from densekd.sweep.leaderboard import FILE, leaderboard_table, write_leaderboard

    rows = write_leaderboard(queue)
    trials = {entry.name: queue.state(entry.name) for entry in queue.entries}
    write_json(json, {"trials": trials, "leaderboard": [row.to_json() for row in rows]})
    if rows:
        console.print(leaderboard_table(rows))
    print_plain(f"leaderboard: {queue.path / FILE}")
    failed = [entry.name for entry in queue.entries if queue.state(entry.name) == "failed"]
    for name in failed:
        print_plain(f"failed: {name}: {queue.failure(name)}")
    if failed:
        print_plain(f"{len(failed)} of {len(queue.entries)} trials failed; mend it and add --retry-failed")
    elif rows:
        print_next("densekd", "compare", queue.path)
    return 1 if failed else 0
