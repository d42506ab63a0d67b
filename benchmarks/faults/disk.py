"""Full disks: a training says so, keeps what it has, and goes on exactly where there is room again."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.outcome import Outcome, raw_text
from faults.tiny import Training, make_training, same_result


class NoSmallDisk(Exception):
    """This system lets no small file system be mounted (that takes root on Linux)."""


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system in memory of ``size`` bytes; unmounted at the end.

    Raises:
        NoSmallDisk: not allowed here.
    """
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoSmallDisk from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def disk_trials(folder: Path, tries: int, seed: int) -> Iterator[Outcome]:
    """Train onto disks of random sizes, most of them too small; make room; resume.

    Args:
        folder: a new one.
        tries: how many disks.
        seed: of their sizes.
    """
    draw = random.Random(seed)
    training = make_training(folder, "plain", steps=20)
    whole = folder / "whole"
    training.run(whole)
    used = sum(file.stat().st_size for file in whole.rglob("*") if file.is_file())
    for index in range(tries):
        # Logarithmic, so that small files meet the end of the disk as well as checkpoints.
        size = round(8192 * (1.1 * used / 8192) ** draw.random())
        with small_disk(folder / f"disk{index}", size) as disk:
            yield _filled(training, whole, disk, size)


def _filled(training: Training, whole: Path, disk: Path, size: int) -> Outcome:
    """Train onto a small disk and judge."""
    trial = f"disk of {size >> 10} kB"
    run = disk / "run"
    stopped = training.run(run)
    if stopped.hung:
        return Outcome(trial, "hang", stopped.text[-2000:])
    if raw_text(stopped.text):
        return Outcome(trial, "raw", stopped.text[-2000:])
    if stopped.status == 0 and not same_result(whole, run):
        return Outcome(trial, "silent", stopped.text[-2000:])
    if stopped.status == 0:
        return Outcome(trial, "exact")
    subprocess.run(["mount", "-o", "remount,size=1G", disk], check=True)
    # A folder without a checkpoint holds nothing to go on from; starting again is as good.
    resumed = training.run(run, "--resume")
    if resumed.status != 0:
        shutil.rmtree(run, ignore_errors=True)
        return Outcome(trial, "lost", stopped.text[-1000:] + resumed.text[-1000:])
    return Outcome(trial, "exact" if same_result(whole, run) else "silent")
