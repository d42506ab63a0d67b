"""Reliability campaign: kills, signals, damage, full disks, bombs, hostile and mutated files.

    python benchmarks/reliability.py                          # all areas, about three hours on two cores
    python benchmarks/reliability.py --areas stops --tries 20 --kinds plain memory --processes 1 2
    python benchmarks/reliability.py --table                  # what was measured last, as Markdown

Each trial ends as ``exact`` (the result of an undisturbed training, to the last bit), ``message``
(one sentence and a status that is not 0) or ``said`` (it goes on without what one line names as damaged);
everything else is a failure and is listed. Counts are
written to ``benchmarks/results/reliability.json`` and the table of ``docs/reliability.md`` is made of
them. The status is 1 where a trial failed.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from faults.damage import damage_trials
from faults.disk import NoSmallDisk, disk_trials
from faults.outcome import Outcome, counts
from faults.readers import TESTS, reader_trials
from faults.stops import stop_trials
from faults.tiny import KINDS
from measuring import RESULTS

import densekd
from densekd.atomic import write_text

AREAS = ("stops", "damage", "disk", *TESTS)
# Trials of an area where none are asked for: the stops are for each kind and number of processes.
TRIES = {"stops": 15, "damage": 150, "disk": 25} | dict.fromkeys(TESTS, 1000)
FILE = RESULTS / "reliability.json"


def trials(area: str, options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Iterable[Outcome]]]:
    """Yield the parts of an area, each a name and its trials."""
    tries = options.tries or TRIES[area]
    if area == "stops":
        for processes in options.processes:
            for kind in options.kinds:
                place = folder / f"{kind}{processes}"
                place.mkdir()
                yield f"stops: {kind}, {processes}", stop_trials(place, kind, processes, tries, options.seed)
    elif area == "damage":
        yield "damaged files", damage_trials(folder, tries, options.seed)
    elif area == "disk":
        yield "full disks", disk_trials(folder, tries, options.seed)
    else:
        yield area, reader_trials(area, folder, tries)


def measure(name: str, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Run the trials of a part, show each, and return counts and failures."""
    done = []
    for outcome in outcomes:
        done.append(outcome)
        print(f"{name}  {len(done)}  {outcome.trial}: {outcome.verdict}", flush=True)
        if not outcome.survived:
            print(outcome.detail, flush=True)
    failures = [f"{outcome.trial}: {outcome.verdict}" for outcome in done if not outcome.survived]
    return {"part": name, **counts(done), "failures": failures}


def save(rows: list[dict[str, Any]]) -> None:
    """Write counts, in the place of older ones of the same parts."""
    known = json.loads(FILE.read_text())["rows"] if FILE.is_file() else []
    names = {row["part"] for row in rows}
    kept = [row for row in known if row["part"] not in names]
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "densekd": densekd.__version__,
        "torch": torch.__version__.partition("+")[0],
        "system": f"{platform.system()} {platform.machine()}",
    }
    write_text(FILE, json.dumps(facts | {"rows": [*kept, *rows]}, indent=1) + "\n")


def table() -> str:
    """Return what was measured last as a table in Markdown."""
    lines = [
        "| part | tried | survived | exact | one message | went on, said | failures |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in json.loads(FILE.read_text())["rows"]:
        failures = "; ".join(row["failures"]) or "none"
        counted = [row.get(verdict, 0) for verdict in ("exact", "message", "said")]
        cells = [row["part"], row["tried"], row["survived"], *counted, failures]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--areas", nargs="+", choices=AREAS, default=AREAS)
    parser.add_argument("--tries", type=int, help="trials of each part (examples of each reader)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of stopped trainings")
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2], help="of stopped trainings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="print the table of the last counts")
    options = parser.parse_args()
    if options.table:
        print(table())
        return 0
    failed = False
    for area in options.areas:
        with tempfile.TemporaryDirectory() as folder:
            try:
                for name, outcomes in trials(area, options, Path(folder)):
                    row = measure(name, outcomes)
                    failed |= bool(row["failures"])
                    save([row])
            except NoSmallDisk:
                print("disk: left out, this system lets no small file system be mounted", file=sys.stderr)
    print(table())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
