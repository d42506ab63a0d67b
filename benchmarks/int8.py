"""int8 of distilled students on a CPU: quantized after the training (PTQ) beside KD + QAT, scored in their engines.

    python benchmarks/int8.py --camvid data/camvid --bccd data/bccd

PSPNet and FPN students learn CamVid, a GFL student BCCD, by KD from one teacher for each data set.
The float student of every seed is exported to int8 by ONNX Runtime and NNCF; then it goes on for some
steps with ``quantise: int8`` under the same terms, and, as a control, in float. Everything is scored
in the exported artefact, whole and by class. What is finished is kept, so an interrupted benchmark
goes on where it stopped, and the results are written after every seed:
``benchmarks/results/int8-cpu.json``; ``--table`` prints them as Markdown.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import RESULTS
from trainings import Bench, Row, described

from densekd.atomic import write_text
from densekd.export.export import export

FILE = RESULTS / "int8-cpu.json"
ENGINES = ("onnx", "openvino")
# Steps: of teachers, of float students, and of what goes on from them.
TEACHER, STUDENT, FURTHER = 400, 300, 100


@dataclass(frozen=True)
class Student:
    """A student of the comparison.

    Args:
        title: in the table.
        data: ``camvid`` or ``bccd``.
        recipe: of its distillation.
        overrides: what is changed in it.
        rate: learning rate of the further steps, a tenth of the first.
        goal: points that int8 may cost.
    """

    title: str
    data: str
    recipe: str
    overrides: tuple[str, ...]
    rate: float
    goal: float


STUDENTS = {
    "fpn": Student("FPN", "camvid", "camvid-r18quarter-cwd", ("baseline=null",), 0.0003, 0.3),
    "pspnet": Student(
        "PSPNet",
        "camvid",
        "camvid-r18quarter-cwd",
        (
            "baseline=null",
            "student={model: pspnet, options: {backbone: resnet18_025, channels: 64}}",
            # Its logits have a stride of 8, the teacher's one of 4.
            "distill.0.resize_to=teacher",
        ),
        0.0003,
        0.3,
    ),
    "gfl": Student("GFL", "bccd", "bccd-r18quarter-cwd", (), 0.0001, 0.5),
}
TEACHERS = {"camvid": "camvid-teacher", "bccd": "bccd-teacher"}
# Once, at the end.
PLAIN = ("training.validate_every=0", "training.checkpoint_every=100")


def train_teacher(bench: Bench, data: str) -> Path:
    """Train the teacher of a data set."""
    row = Row("", TEACHERS[data], (f"training.steps={TEACHER}", *PLAIN))
    return bench.train(f"int8-{data}-teacher", row)


def train_student(bench: Bench, key: str, seed: int, teacher: Path) -> dict[str, Any]:
    """Train a student of a seed in float, go on in int8 and in float, and export all; return the scores."""
    student = STUDENTS[key]
    name = f"int8-{key}-seed{seed}"
    file = bench.runs / f"{name}.json"
    if file.is_file():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    same = (*student.overrides, *PLAIN, f"training.seed={seed}", f"teacher.checkpoint={teacher}")
    base = bench.train(name, Row("", student.recipe, (*same, f"training.steps={STUDENT}")))
    rate = (f"optimizer.lr={student.rate}", "optimizer.warmup=10")
    further = (*same, f"training.steps={FURTHER}", *rate, f"student.checkpoint={base}")
    trained = bench.train(f"{name}-qat", Row("", student.recipe, (*further, "training.quantise=int8")))
    control = bench.train(f"{name}-float", Row("", student.recipe, further))
    result: dict[str, Any] = {"float": exported(base, ("onnx",), "fp32")["onnx"]}
    result["control"] = exported(control, ("onnx",), "fp32")["onnx"]
    result["ptq"] = exported(base, ENGINES, "int8")
    result["qat"] = exported(trained, ENGINES, "int8")
    write_text(file, json.dumps(result, indent=1) + "\n")
    return result


def exported(run: Path, engines: Sequence[str], precision: str) -> dict[str, Any]:
    """Export a run, whatever it costs; return the scores of each engine's artefact.

    Layers that stay float are the last ones; nothing is searched.
    """
    scores = {}
    for verdict in export(run, engines, precision=precision, allow=100, keep_float="last"):
        if verdict.engine_score is None:
            raise SystemExit(f"{run}: {verdict.engine} {verdict.precision}: {verdict.reason}")
        scores[verdict.engine] = {
            "score": verdict.engine_score,
            "torch": verdict.torch_score,
            "drops": verdict.drops,
            "difference": verdict.difference,
            "bytes": verdict.bytes,
        }
    return scores


def costs(results: Sequence[dict[str, Any]], kind: str, engine: str) -> list[float]:
    """Return the points that an int8 artefact lies below the float student of its seed; negative: above."""
    return [one["float"]["score"] - one[kind][engine]["score"] for one in results]


def run(benches: dict[str, Bench], seeds: int, jobs: int) -> None:
    """Run what is missing, and write the results after every seed."""
    done: dict[str, dict[int, dict[str, Any]]] = {key: {} for key in STUDENTS}
    teachers: dict[str, Future[Path]] = {}
    futures = {}
    with ThreadPoolExecutor(jobs) as pool:
        for data in TEACHERS:
            teachers[data] = pool.submit(train_teacher, benches[data], data)
        # Seed by seed, so that whatever was finished is a comparison of all.
        for seed in range(seeds):
            for key, student in STUDENTS.items():
                waiting = (benches[student.data], key, seed, teachers[student.data])
                futures[(key, seed)] = pool.submit(_waited, *waiting)
        for (key, seed), future in futures.items():
            done[key][seed] = future.result()
            rows = {name: _row(name, list(found.values())) for name, found in done.items() if found}
            metric = "mIoU in % at 180 x 240 (CamVid), AP in % (BCCD), in the artefact on all validation images"
            content = described(teachers["camvid"].result(), metric, jobs, rows)
            content["steps"] = {"teacher": TEACHER, "student": STUDENT, "further": FURTHER}
            write_text(FILE, json.dumps(content, indent=1) + "\n")


def _waited(bench: Bench, key: str, seed: int, teacher: "Future[Path]") -> dict[str, Any]:
    return train_student(bench, key, seed, teacher.result())


def _row(key: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    student = STUDENTS[key]
    row: dict[str, Any] = {"title": student.title, "goal": student.goal, "seeds": results}
    for kind in ("ptq", "qat"):
        row[kind] = {engine: costs(results, kind, engine) for engine in ENGINES}
    return row


def table(content: dict[str, Any]) -> str:
    """Return the results as Markdown: points below the float student, mean and each seed."""
    lines = ["| student | artefact | score % | below float (mean) | seeds | goal |", "|---|---|---|---|---|---|"]
    for row in content["rows"].values():
        seeds = row["seeds"]
        lines.append(_line(row["title"], "float, ONNX Runtime", [one["float"]["score"] for one in seeds], None, ""))
        control = [one["control"]["score"] for one in seeds]
        below = [one["float"]["score"] - one["control"]["score"] for one in seeds]
        lines.append(_line("", "float, further steps", control, below, ""))
        for kind, title in (("ptq", "PTQ"), ("qat", "KD + QAT")):
            for engine in ENGINES:
                values = [one[kind][engine]["score"] for one in seeds]
                below = row[kind][engine]
                goal = "met" if statistics.mean(below) <= row["goal"] else "missed"
                lines.append(_line("", f"{title}, {engine}", values, below, f"{row['goal']}: {goal}"))
    return "\n".join(lines)


def _line(title: str, artefact: str, values: list[float], below: list[float] | None, goal: str) -> str:
    mean = f"{statistics.mean(values):.2f}"
    if below is None:
        return f"| {title} | {artefact} | {mean} | – | {' / '.join(f'{value:.2f}' for value in values)} | |"
    shown = " / ".join(f"{value:+.2f}" for value in below)
    return f"| {title} | {artefact} | {mean} | **{statistics.mean(below):+.2f}** | {shown} | {goal} |"


def main() -> None:
    """Read the command line, run, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, default=Path("data/camvid"), help="folder of CamVid")
    parser.add_argument("--bccd", type=Path, default=Path("data/bccd"), help="folder of BCCD")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the run folders go")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--table", action="store_true", help="print the stored results and exit")
    arguments = parser.parse_args()
    if not arguments.table:
        runs = arguments.runs.resolve()
        benches = {
            "camvid": Bench(arguments.camvid.resolve(), runs, "miou"),
            "bccd": Bench(arguments.bccd.resolve(), runs, "ap"),
        }
        run(benches, arguments.seeds, arguments.jobs)
    print(table(json.loads(FILE.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
