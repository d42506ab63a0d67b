"""Does distillation help a small detector on BCCD (blood cells)? Teacher, student alone, CWD on the head, LD, on a CPU.

    python benchmarks/bccd.py --data data/bccd

Trained as in ``benchmarks/camvid.py``. Writes ``benchmarks/results/bccd-cpu.json``; ``--table`` prints it as Markdown.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import RESULTS
from trainings import Bench, Row, described, scores, table

from densekd.files import write_text

FILE = RESULTS / "bccd-cpu.json"
STUDENTS = {
    "alone": Row("student alone", "bccd-r18quarter"),
    "cwd": Row("CWD on the classification head, T 1, weight 5", "bccd-r18quarter-cwd", taught=True),
    "ld": Row("LD, both regions, T 10, weight 2", "bccd-r18quarter-ld", taught=True),
}
PARTS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ap_by_class")


def run(bench: Bench, seeds: int, jobs: int) -> dict[str, Any]:
    with ThreadPoolExecutor(jobs) as pool:
        teacher = pool.submit(bench.train, "bccd-teacher", Row("", "bccd-teacher"))
        rows = bench.students(STUDENTS, "bccd", seeds, pool, teacher)
        rows = {"teacher": bench.row("teacher: GFL-R18, 64 channels, 1500 steps", [teacher.result()])} | rows
    for row in rows.values():
        row |= {part: [scores(bench.runs / name)[part] for name in row["runs"]] for part in PARTS}
    metric = "BCCD val AP in % (COCO's, 0.50:0.95), last checkpoint, float32 evaluation"
    return described(teacher.result(), metric, jobs, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/bccd"), help="BCCD folder")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the run folders go")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--table", action="store_true", help="print the stored results and exit")
    arguments = parser.parse_args()
    if not arguments.table:
        bench = Bench(arguments.data.resolve(), arguments.runs.resolve(), "ap")
        write_text(FILE, json.dumps(run(bench, arguments.seeds, arguments.jobs), indent=1) + "\n")
    print(table(json.loads(FILE.read_text(encoding="utf-8")), "ap", "AP"))


if __name__ == "__main__":
    main()
