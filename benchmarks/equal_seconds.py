"""Equal seconds: leaderboards of the losses that fit a pair, on data that no training saw, on a CPU.

    python benchmarks/equal_seconds.py camvid
    python benchmarks/equal_seconds.py bccd

``camvid`` trains a teacher for each drive that is left out, then runs the sweep of ``equal_seconds.yaml``
on ``data/camvid``; ``bccd`` the same for its validation images, ``equal_seconds_bccd.yaml`` on ``data/bccd``.
All goes on where it stopped, and the results hold what is finished: ``--collect`` writes them without
training. ``--measure`` measures the seconds of a step of each method, in turns, by which the sweep's
numbers of steps were decided; it wants a quiet machine. ``--table`` prints the leaderboard.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from measuring import RESULTS
from trainings import RECIPES, Bench, Row, scores

from densekd.atomic import write_text
from densekd.compare.groups import compare_runs
from densekd.compare.runs import read_run
from densekd.compare.statistics import over_seeds
from densekd.compare.table import comparison_rows
from densekd.recipe import load_recipe
from densekd.run import warmup
from densekd.run.launch import Launch
from densekd.sweep.reading import load_sweep
from densekd.sweep.sections import SweepSpec
from densekd.sweep.trials import Trial, make_trials

BASELINE = "alone"
# No schedule ends while steps are measured.
_LONG = "training.steps=1000000"
# Rounds of a measurement; the first ones decode images that later ones have in memory.
_ROUNDS = 8
_WARM = 4


class Study(NamedTuple):
    """A sweep in equal seconds.

    Args:
        sweep: its file, whose trials have a ``method``, a ``seed`` and perhaps a ``drive``.
        results: its results.
        data: where its recipes read it.
        untrained: a teacher of the same size, for steps that are measured.
        score: key of ``results.json``.
        metric: what that is.
        train_teacher: trains the teacher of a name that has not seen a place.
    """

    sweep: Path
    results: Path
    data: Path
    untrained: str
    score: str
    metric: str
    train_teacher: Callable[[Bench, str, str], Path]

    def spec(self) -> SweepSpec:
        """Return the sweep."""
        return load_sweep(self.sweep)

    def trials(self) -> list[Trial]:
        """Return the trials of the sweep."""
        return make_trials(self.spec(), self.sweep)


def train_camvid_teacher(bench: Bench, name: str, drive: str) -> Path:
    """Train both parts of the teacher that has not seen a drive: 1000 steps, then 600 that weigh rare classes."""
    common = (leave_out(drive), "training.validate_every=0")
    start = bench.train(f"{name}-first", Row("", "camvid-drives-teacher", (*common, "training.steps=1000")))
    overrides = (*common, "training.steps=600", f"student.checkpoint={start}")
    return bench.train(name, Row("", "camvid-drives-teacher-balanced", overrides))


def train_bccd_teacher(bench: Bench, name: str, place: str) -> Path:
    """Train the recipe's teacher on the small images of the sweep, which are scored in one place."""
    kept = [one for one in load_sweep(BCCD.sweep).overrides if str(one).startswith(("data.", "augment."))]
    return bench.train(name, Row("", "bccd-teacher", (*map(str, kept), "training.validate_every=0")))


CAMVID = Study(
    sweep=Path(__file__).parent / "equal_seconds.yaml",
    results=RESULTS / "equal-seconds-cpu.json",
    data=Path("data/camvid"),
    untrained="teacher={model: fpn, options: {backbone: resnet18, channels: 128}, checkpoint: untrained}",
    score="miou",
    metric="mIoU in % on a drive that neither teacher nor student saw, last checkpoint",
    train_teacher=train_camvid_teacher,
)
BCCD = Study(
    sweep=Path(__file__).parent / "equal_seconds_bccd.yaml",
    results=RESULTS / "equal-seconds-bccd-cpu.json",
    data=Path("data/bccd"),
    untrained="teacher={model: gfl, options: {backbone: resnet18, channels: 64, depth: 2}, checkpoint: untrained}",
    score="ap",
    metric="AP in % (COCO's, 0.50:0.95) on the validation images, last checkpoint",
    train_teacher=train_bccd_teacher,
)
NAMES = {"miou": "mIoU", "ap": "AP"}
STUDIES = {"camvid": CAMVID, "bccd": BCCD}


def leave_out(drive: str) -> str:
    """Return the override that trains on the other drives and scores on this one."""
    return f"data.leave_out={{pool: train+val, groups: '^[^_]+', val: ['{drive}']}}"


def place_of(trial: Trial) -> str:
    """Return where a trial is scored: a drive, or the validation images."""
    return trial.point.get("drive", "val")


def teachers_of(trials: Iterable[Trial]) -> dict[str, Path]:
    """Return the folder of the teacher of each place."""
    found = {}
    for trial in trials:
        if trial.recipe.teacher is not None:
            found[place_of(trial)] = Path(str(trial.recipe.teacher.checkpoint))
    return found


def measure(study: Study) -> dict[str, Any]:
    """Measure the seconds of a step of each method, in turns, with untrained models."""
    recipes = {}
    for trial in study.trials():
        method = trial.point["method"]
        # Steps from a cache cannot be measured before it is filled.
        if method in recipes or method == "alone-600" or method.endswith("-cached"):
            continue
        # The teacher is an untrained one, and no schedule ends.
        replaced = ("training.steps", "teacher.cache", "teacher.checkpoint")
        kept = [one for one in trial.overrides if not one.startswith(replaced)]
        recipes[method] = load_recipe(RECIPES / f"{study.spec().recipe}.yaml", [study.untrained, *kept, _LONG])
    rounds = warmup.seconds_in_turns(list(recipes.values()), Launch("cpu"), _WARM + _ROUNDS)[_WARM:]
    base = list(recipes).index(BASELINE)
    found = {}
    for number, method in enumerate(recipes):
        ratios = [one[number] / one[base] for one in rounds]
        low, middle, high = statistics.quantiles(ratios, n=4)
        seconds = statistics.median(one[number] for one in rounds)
        found[method] = {"seconds_per_step": seconds, "ratio": middle, "quartiles": [low, high]}
    return found


def collect(study: Study, runs: Path) -> dict[str, Any]:
    """Return the finished trials as rows by method, with differences paired by seed, and by image within a place.

    Args:
        study: whose trials.
        runs: folder of the teachers and of the sweep.
    """
    trials = study.trials()
    teachers = {place: runs / folder.name for place, folder in teachers_of(trials).items()}
    found: dict[str, dict[str, dict[str, float]]] = {}
    folders: dict[str, list[Path]] = {place: [] for place in teachers}
    for trial in trials:
        folder = runs / study.spec().name / "trials" / trial.name
        score = _score_of(folder, study.score)
        if score is not None:
            place = place_of(trial)
            folders[place].append(folder)
            found.setdefault(trial.point["method"], {}).setdefault(place, {})[trial.point["seed"]] = score
    trained = [folder for folder in teachers.values() if (folder / "environment.json").is_file()]
    if not trained:
        raise SystemExit(f"{runs}: no teacher of this study has been trained here.")
    environment = json.loads((trained[0] / "environment.json").read_text("utf-8"))
    return {
        "date": environment["started"],
        "machine": environment["machine"],
        "versions": environment["versions"],
        "metric": study.metric,
        "teachers": {place: _score_of(folder, study.score) for place, folder in teachers.items()},
        "rows": {method: row(by_place, found[BASELINE]) for method, by_place in found.items()},
        "by images": {place: _by_images(listed) for place, listed in folders.items()},
    }


def row(scores: Mapping[str, Mapping[str, float]], baseline: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return mean and paired difference of a method, each drive counting alike.

    Args:
        scores: place -> seed -> score in %.
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


def table(results: Mapping[str, Any], score: str) -> str:
    """Return the leaderboard as Markdown, the best difference first; scores of one drive are means of all its seeds."""
    drives = [drive for drive, score in results["teachers"].items() if score is not None]
    lines = [f"| method | seeds | {NAMES[score]} | against alone | 95 % | | {' | '.join(drives)} |"]
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


def _by_images(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Compare the runs of one place by the bootstrap over seeds and images."""
    runs: list[Any] = []
    for folder in folders:
        runs += read_run(folder)
    if not runs:
        return []
    return comparison_rows(compare_runs(runs, None))


def _score_of(folder: Path, score: str) -> float | None:
    if not (folder / "results.json").is_file():
        return None
    found: float = scores(folder)[score]
    return found


def trained_trials(results: Mapping[str, Any]) -> int:
    """Return how many trials results hold."""
    return sum(len(seeds) for one in results.get("rows", {}).values() for seeds in one["scores"].values())


def main() -> None:
    """Read the command line, train, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    study = STUDIES[arguments.study]
    stored = json.loads(study.results.read_text(encoding="utf-8")) if study.results.is_file() else {}
    runs = Path("runs")
    if arguments.measure:
        stored["steps"] = measure(study)
    elif not arguments.table:
        if not arguments.collect:
            _train(study, Bench(study.data.resolve(), runs.resolve(), study.score), arguments.jobs)
        found = collect(study, runs)
        if trained_trials(found) < trained_trials(stored):
            parser.error(
                f"{study.results} holds {trained_trials(stored)} trials, {runs} only {trained_trials(found)} of them: "
                "bring the folder that they were trained in, or delete the results."
            )
        stored |= found
    if not arguments.table:
        write_text(study.results, json.dumps(stored, indent=1) + "\n")
    if "rows" in stored:
        print(table(stored, study.score))


def _train(study: Study, bench: Bench, jobs: int) -> None:
    for place, folder in teachers_of(study.trials()).items():
        study.train_teacher(bench, folder.name, place)
    command = [sys.executable, "-m", "densekd", "sweep", str(study.sweep), "--jobs", str(jobs)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
