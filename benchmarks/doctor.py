"""Planted faults and healthy recipes, examined by the doctor: named, missed, false alarms.

    python benchmarks/doctor.py              # all cases; those that were examined before are kept
    python benchmarks/doctor.py --anew       # examined again, with the trained models that are there
    python benchmarks/doctor.py --only void  # cases whose name has this
    python benchmarks/doctor.py --table      # what was measured last, as Markdown

Data and trained models are kept in ``--folder``. A fault is named where one of the findings expected is
found, or refused where the recipe is not even built. Results: ``benchmarks/results/doctor.json``.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from doctor_cases import FAULTS, HEALTHY, Bench, Planted
from measuring import RESULTS

from densekd.atomic import write_text
from densekd.doctor.examine import examine
from densekd.errors import UserError
from densekd.recipe import parse_recipe

FILE = RESULTS / "doctor.json"


def examined(bench: Bench, case: Planted) -> dict[str, Any]:
    """Make a case and examine it; return what was found and how it is judged."""
    recipe, run = case.make(bench)
    started = time.perf_counter()
    try:
        found = examine(parse_recipe(recipe, case.name), run)
        names = sorted({one.name for one in found})
        said = [f"{one.name}: {one.evidence}" for one in found]
    except UserError as error:
        names, said = ["refused"], [str(error)]
    seconds = round(time.perf_counter() - started, 2)
    kind = "fault" if case.expected else "healthy"
    row = {"case": case.name, "kind": kind, "expected": list(case.expected), "found": names, "said": said}
    return {**row, "verdict": verdict(case, names), "seconds": seconds}


def verdict(case: Planted, names: list[str]) -> str:
    """Judge the names of findings: named, refused, missed; of a healthy case quiet or false alarm."""
    if not case.expected:
        return "false alarm" if names else "quiet"
    if names == ["refused"]:
        return "refused"
    return "named" if set(names) & set(case.expected) else "missed"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown: counts, then each case."""
    counts = {kind: sum(row["verdict"] == kind for row in rows) for kind in ("named", "refused", "missed")}
    healthy = [row for row in rows if row["kind"] == "healthy"]
    alarms = sum(row["verdict"] == "false alarm" for row in healthy)
    lines = [
        "| planted faults | named | refused | missed | healthy | false alarms |",
        "|---|---|---|---|---|---|",
        f"| {len(rows) - len(healthy)} | {counts['named']} | {counts['refused']} | {counts['missed']} "
        f"| {len(healthy)} | {alarms} |",
        "",
        "| case | found | verdict |",
        "|---|---|---|",
    ]
    lines += [f"| {row['case']} | {', '.join(row['found'])} | {row['verdict']} |" for row in rows]
    return "\n".join(lines)


def save(rows: list[dict[str, Any]]) -> None:
    """Write results in the order of the cases."""
    order = [case.name for case in (*FAULTS, *HEALTHY)]
    kept = sorted((row for row in rows if row["case"] in order), key=lambda row: order.index(row["case"]))
    facts = {"date": datetime.now(UTC).date().isoformat(), "torch": torch.__version__.partition("+")[0]}
    write_text(FILE, json.dumps({"facts": facts, "rows": kept}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "densekd-doctor")
    parser.add_argument("--only", default="")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    rows = json.loads(FILE.read_text())["rows"] if FILE.is_file() else []
    if options.table:
        print(table(rows))
        return
    bench = Bench(options.folder)
    for case in (*HEALTHY, *FAULTS):
        known = any(row["case"] == case.name for row in rows)
        if options.only not in case.name or (known and not options.anew):
            continue
        row = examined(bench, case)
        rows = [one for one in rows if one["case"] != case.name] + [row]
        save(rows)
        print(f"{row['verdict']}  {case.name}  {row['seconds']} s  {'; '.join(row['said'])}", flush=True)
    sys.exit(any(row["verdict"] in ("missed", "false alarm") for row in rows))


if __name__ == "__main__":
    main()
