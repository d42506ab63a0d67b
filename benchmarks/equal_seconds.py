"""Equal seconds on unseen drives: the leaderboard of every loss that fits a pair of CamVid, on a CPU.

    python benchmarks/equal_seconds.py

trains a teacher for each drive that is left out, then runs the sweep of ``equal_seconds.yaml`` on
``data/camvid``. Both go on where they stopped, and the results hold what is finished: ``--collect``
writes them without training. ``--measure`` measures the seconds of a step of each method, in turns,
by which the sweep's numbers of steps were decided; it wants a quiet machine. ``--table`` prints the
leaderboard.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from measuring import RESULTS
from trainings import RECIPES, Bench, Row

from densekd.atomic import write_text
from densekd.compare.groups import compare_runs
from densekd.compare.runs import read_run
from densekd.compare.statistics import over_seeds
from densekd.compare.table import comparison_rows
from densekd.recipe import load_recipe
from densekd.run import warmup
from densekd.run.launch import Launch

SWEEP = Path(__file__).parent / "equal_seconds.yaml"
FILE = RESULTS / "equal-seconds-cpu.json"
BASELINE = "alone"
# Where the recipe reads it.
DATA = Path("data/camvid")
# Of the two parts of a teacher.
TEACHER_STEPS = (1000, 600)
# No schedule ends while steps are measured.
_LONG = "training.steps=1000000"
_UNTRAINED = "teacher={model: fpn, options: {backbone: resnet18, channels: 128}, checkpoint: untrained}"


def axes() -> dict[str, Any]:
    """Return the axes of the sweep."""
    found: dict[str, Any] = yaml.safe_load(SWEEP.read_text(encoding="utf-8"))["axes"]
    return found


def leave_out(drive: str) -> str:
    """Return the override that trains on the other drives and scores on this one."""
    return f"data.leave_out={{pool: train+val, groups: '^[^_]+', val: ['{drive}']}}"


def train_teacher(bench: Bench, drive: str) -> Path:
    """Train both parts of the teacher that has not seen a drive."""
    first, second = TEACHER_STEPS
    common = (leave_out(drive), "training.validate_every=0")
    name = f"equal-seconds-teacher-{drive}"
    start = bench.train(f"{name}-first", Row("", "camvid-drives-teacher", (*common, f"training.steps={first}")))
    overrides = (*common, f"training.steps={second}", f"student.checkpoint={start}")
    return bench.train(name, Row("", "camvid-drives-teacher-balanced", overrides))


def measure() -> dict[str, Any]:
    """Measure the seconds of a step of each method, in turns, with untrained models."""
    recipe = RECIPES / "camvid-drives-r18quarter-cwd.yaml"
    common = ["baseline=null", "training.validate_every=0"]
    recipes = {}
    for method, overrides in axes()["method"].items():
        # Steps from a cache cannot be measured before it is filled.
        if method == "alone-600" or method.endswith("-cached"):
            continue
        kept = [one for one in overrides if not one.startswith(("training.steps", "teacher.cache"))]
        recipes[method] = load_recipe(recipe, [*common, _UNTRAINED, *kept, _LONG])
    rounds = warmup.seconds_in_turns(list(recipes.values()), Launch("cpu"))
    base = list(recipes).index(BASELINE)
    found = {}
    for number, method in enumerate(recipes):
        ratios = [one[number] / one[base] for one in rounds]
        low, middle, high = statistics.quantiles(ratios, n=4)
        seconds = statistics.median(one[number] for one in rounds)
        found[method] = {"seconds_per_step": seconds, "ratio": middle, "quartiles": [low, high]}
    return found


def collect(trials: Path, teachers: Path) -> dict[str, Any]:
    """Return the finished trials as rows by method, with differences paired by seed, and by image within a drive."""
    drives = list(axes()["drive"])
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for drive in drives:
        for folder in sorted(trials.glob(f"*-{drive}-*")):
            if (folder / "results.json").is_file():
                seed, _, method = folder.name.removeprefix("seed").split("-", 2)
                found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["student"]["miou"]
                scores.setdefault(method, {}).setdefault(drive, {})[seed] = found
    environment = json.loads((teachers / f"equal-seconds-teacher-{drives[0]}" / "environment.json").read_text("utf-8"))
    return {
        "date": environment["started"],
        "machine": environment["machine"],
        "versions": environment["versions"],
        "metric": "mIoU in % on a drive that neither teacher nor student saw, last checkpoint",
        "teachers": {drive: _teacher_score(teachers / f"equal-seconds-teacher-{drive}") for drive in drives},
        "rows": {method: row(found, scores[BASELINE]) for method, found in scores.items()},
        "by images": {drive: _by_images(trials, drive) for drive in drives},
    }


def row(scores: Mapping[str, Mapping[str, float]], baseline: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return mean and paired difference of a method, each drive counting alike.

    Args:
        scores: drive -> seed -> mIoU in %.
        baseline: the same of the student alone.
    """
    common = {drive: sorted(set(seeds) & set(baseline.get(drive, {}))) for drive, seeds in scores.items()}
    drives = [drive for drive, seeds in common.items() if seeds]
    # Only seeds that every drive has: otherwise drives would weigh differently.
    seeds = sorted(set.intersection(*[set(common[drive]) for drive in drives])) if drives else []
    gains = []
    for seed in seeds:
        gains.append(statistics.mean(scores[drive][seed] - baseline[drive][seed] for drive in drives))
    means = [statistics.mean(scores[drive][seed] for drive in drives) for seed in seeds]
    found: dict[str, Any] = {"scores": scores, "drives": drives, "seeds": seeds}
    if seeds:
        interval = over_seeds(gains)
        found |= {"mean": statistics.mean(means), "difference": interval.value}
        found |= {"interval": [interval.low, interval.high], "certain": interval.certain}
    return found


def table(results: Mapping[str, Any]) -> str:
    """Return the leaderboard as Markdown, the best difference first; scores of one drive are means of all its seeds."""
    drives = [drive for drive, score in results["teachers"].items() if score is not None]
    lines = [f"| method | seeds | mIoU | against alone | 95 % | | {' | '.join(drives)} |"]
    lines.append("|---" * (6 + len(drives)) + "|")
    rows = [(name, one) for name, one in results["rows"].items() if "mean" in one]
    for name, one in sorted(rows, key=lambda pair: -pair[1]["difference"]):
        cells = [f"{statistics.mean(one['scores'][drive].values()):.2f}" for drive in one["drives"]]
        cells += [""] * (len(drives) - len(cells))
        seeds = len(one["seeds"])
        lines.append(f"| {name} | {seeds} | {one['mean']:.2f} | {_difference(name, one)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _difference(name: str, one: Mapping[str, Any]) -> str:
    """Return the cells of a row's difference, its interval and what can be said of it."""
    if name == BASELINE:
        return "– | – | baseline"
    low, high = one["interval"]
    if low is None:
        return f"{one['difference']:+.2f} | – | one seed, cannot be told"
    word = "not distinguishable"
    if one["certain"]:
        word = "better" if low > 0 else "worse"
    return f"{one['difference']:+.2f} | {low:+.2f} to {high:+.2f} | {word}"


def _by_images(trials: Path, drive: str) -> list[dict[str, Any]]:
    """Compare the runs of one drive by the bootstrap over seeds and images."""
    runs: list[Any] = []
    for folder in sorted(trials.glob(f"*-{drive}-*")):
        if (folder / "results.json").is_file():
            runs += read_run(folder)
    if not runs:
        return []
    return comparison_rows(compare_runs(runs, None))


def _teacher_score(folder: Path) -> float | None:
    if not (folder / "results.json").is_file():
        return None
    found: float = json.loads((folder / "results.json").read_text(encoding="utf-8"))["student"]["miou"]
    return found


def main() -> None:
    """Read the command line, train, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    stored = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    runs = Path("runs")
    if arguments.measure:
        stored["steps"] = measure()
    elif not arguments.table:
        if not arguments.collect:
            _train(Bench(DATA.resolve(), runs.resolve(), "miou"), arguments.jobs)
        stored |= collect(runs / "equal-seconds" / "trials", runs)
    if not arguments.table:
        write_text(FILE, json.dumps(stored, indent=1) + "\n")
    print(table(stored))


def _train(bench: Bench, jobs: int) -> None:
    for drive in axes()["drive"]:
        train_teacher(bench, drive)
    command = [sys.executable, "-m", "densekd", "sweep", str(SWEEP), "--jobs", str(jobs)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
