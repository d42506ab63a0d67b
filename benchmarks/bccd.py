"""BCCD benchmark (blood cells) on a CPU: teacher, detector alone, distilled by CWD on the head and by LD.

    python benchmarks/bccd.py --data data/bccd

Trained as in ``benchmarks/camvid.py``. Writes ``benchmarks/results/bccd-cpu.json``; ``--table``
prints it as Markdown.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trainings import Bench, Row, described, main, scores

STUDENTS = {
    "alone": Row("student alone", "bccd-r18quarter"),
    "cwd": Row("CWD on the classification head, T 1, weight 5", "bccd-r18quarter-cwd", needs_teacher=True),
    "ld": Row("LD, both regions, T 10, weight 2", "bccd-r18quarter-ld", needs_teacher=True),
}
PARTS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ap_by_class")


def run(bench: Bench, seeds: int, jobs: int) -> dict[str, Any]:
    with ThreadPoolExecutor(jobs) as pool:
        teacher = pool.submit(bench.train, "bccd-teacher", Row("", "bccd-teacher"))
        students = bench.students(STUDENTS, "bccd", seeds, pool, teacher)
        first = bench.row("teacher: GFL-R18, 64 channels, 1500 steps", [teacher.result()])
    rows = {"teacher": first} | students
    # AP by threshold, by size and by class, seed by seed.
    for row in rows.values():
        found = [scores(bench.runs / name) for name in row["runs"]]
        for part in PARTS:
            row[part] = [one[part] for one in found]
    metric = "BCCD val AP in % (COCO's, 0.50:0.95), last checkpoint, float32 evaluation"
    return described(teacher.result(), metric, jobs, rows)


if __name__ == "__main__":
    main(__doc__, "bccd", ("ap", "AP"), 2, run)
