"""Fill the tables of docs/benchmarks.md from stored results: ``python benchmarks/fill_tables.py [--device cpu]``.

A table stands between ``<!-- gpu:KIND -->`` and ``<!-- /gpu:KIND -->``, or ``cpu:`` for a processor's, where KIND is
the first word of its file of results, ``KIND-<machine>.json``. What was not measured keeps the table that it has.
``benchmarks/gpu.sh`` ends with it.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kernels
import losses
import scaling
import step
import together
from measuring import RESULTS

from densekd.atomic import write_text

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
Table = Callable[[dict[str, Any]], str]
TABLES: dict[str, Table] = {
    "kernels": kernels.table,
    "kernels-float32-channels-last": kernels.table,
    "kernels-bfloat16-channels-last": kernels.table,
    "losses": losses.table,
    "step": step.table,
    "together": together.table,
    "scaling": scaling.table,
}
# The kinds that each device has a place for on the page.
KINDS = {"cuda": ("kernels", "kernels-bfloat16-channels-last", "losses", "step"), "cpu": tuple(TABLES)}
MARKS = {"cuda": "gpu", "cpu": "cpu"}


def newest(folder: Path, kind: str, device: str) -> dict[str, Any] | None:
    """Return the newest results of a kind that a device gave; None where there are none."""
    found = []
    for path in folder.glob(f"{kind}-*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        # kernels-bfloat16-....json begins with kernels- as well.
        other = any(path.name.startswith(f"{name}-") for name in TABLES if len(name) > len(kind))
        if not other and content["machine"]["device"] == device:
            found.append((content["machine"]["date"], path.stat().st_mtime, content))
    return max(found, key=lambda one: one[:2])[2] if found else None


def filled(page: str, kind: str, results: dict[str, Any]) -> str:
    """Return a page with the table of some results between the marks of its kind.

    Raises:
        SystemExit: the page has no such marks.
    """
    about = results["machine"]
    mark = f"{MARKS[about['device']]}:{kind}"
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not marked.search(page):
        raise SystemExit(f"the page has no place for a table: {begin} ... {end}")
    source = f"{about['name']}, torch {about['torch']}, {about['date']}:"
    table = f"{begin}\n{source}\n\n{TABLES[kind](results)}\n{end}"
    # A function, because a table may hold backslashes.
    return marked.sub(lambda _: table, page)


def main(argv: list[str] | None = None, show: Callable[[str], None] = print) -> None:
    """Read the command line, fill every table that there are results for, and say which."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--page", type=Path, default=PAGE, help="the Markdown file")
    parser.add_argument("--device", default="cuda", choices=list(KINDS), help="whose results are taken")
    arguments = parser.parse_args(argv)
    page = arguments.page.read_text(encoding="utf-8")
    for kind in KINDS[arguments.device]:
        results = newest(arguments.results, kind, arguments.device)
        if results is None:
            show(f"{kind}: not measured; the table stays as it is")
            continue
        page = filled(page, kind, results)
        show(f"{kind}: filled")
    write_text(arguments.page, page)


if __name__ == "__main__":
    main()
