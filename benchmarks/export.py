"""Export many architectures to every engine that is there: ``python benchmarks/export.py --work FOLDER``.

Each model learns simple scenes for a minute, so that scores mean something, and is exported by the command
``densekd export`` in a process of its own. ``results/export-cpu.json`` has every verdict with its numbers, and
``--table`` prints the table of docs/export.md. What is there already is not done again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from export_models import ENTRIES, SIZE, Entry, make_data, recipe_of
from measuring import RESULTS, machine

from densekd.atomic import write_text
from densekd.export.engines import ENGINES

_RESULTS = RESULTS / "export-cpu.json"
# Seconds for one command, and threads that it computes with.
_LIMIT = 900
_THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
# Engines that share an export, and what they are written in.
_GROUPS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("onnx", "openvino"), ("fp32", "fp16", "int8")),
    (("torch", "ncnn", "tensorrt"), ("fp32",)),
    (("coreml",), ("fp32",)),
    (("executorch",), ("fp32",)),
    (("litert",), ("fp32",)),
)
_KEPT = (
    "status", "reason", "difference", "equal_labels", "metric", "unit", "torch_score", "engine_score", "drop", "bytes",
    "version", "exporter", "exporter_reason", "quantizer", "kept_float",
)  # fmt: skip


def main() -> None:
    """Train and export everything, and write what became of it after each command."""
    parser = argparse.ArgumentParser(description="Export many architectures to every engine that is there.")
    parser.add_argument("--work", type=Path, default=Path("export-work"), help="folder of data and runs")
    parser.add_argument("--out", type=Path, default=_RESULTS)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--models", default=",".join(entry.title for entry in ENTRIES))
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--table", action="store_true", help="print the table alone")
    options = parser.parse_args()
    rows = json.loads(options.out.read_text()) if options.out.exists() else {}
    if options.table:
        print(table(rows))
        return
    make_data(options.work / "data")
    engines, models = set(options.engines.split(",")), options.models.split(",")
    for group, precisions in _GROUPS:
        wanted = [name for name in group if name in engines]
        for entry in ENTRIES:
            row = rows.setdefault(entry.title, {})
            names = [f"{engine}-{precision}" for engine in wanted for precision in precisions]
            if entry.title not in models or not names or (set(names) <= set(row) and not options.again):
                continue
            row |= export_one(entry, wanted, precisions, options.work)
            write_text(options.out, json.dumps(rows, indent=1) + "\n")


def export_one(entry: Entry, engines: Sequence[str], precisions: Sequence[str], work: Path) -> dict[str, Any]:
    """Train a model unless it is there, and return a verdict for each engine and precision."""
    name = "".join(letter for letter in entry.title.lower().replace("+", "plus") if letter.isalnum())
    run = work / "runs" / name
    pairs = [(engine, precision) for engine in engines for precision in precisions]
    if not (run / "results.json").is_file():
        recipe = work / f"{name}.yaml"
        recipe.write_text(yaml.safe_dump(recipe_of(entry, work / "data")), encoding="utf-8")
        said = _run(["train", str(recipe), "--run", str(run), "--accelerator", "cpu", "--overwrite"])[1]
        if not (run / "results.json").is_file():
            return {f"{engine}-{precision}": _refusal(f"training: {said}") for engine, precision in pairs}
    found = _exported(run, engines, precisions)
    if found is not None:
        return found
    # One that stops the command does not take the others with it.
    cells: dict[str, Any] = {}
    for engine, precision in pairs:
        one = _exported(run, [engine], [precision], alone=True)
        assert one is not None
        cells |= one
    return cells


def _exported(
    run: Path, engines: Sequence[str], precisions: Sequence[str], alone: bool = False
) -> dict[str, Any] | None:
    """Return the verdicts of one command; None where it gave none and there is more than one."""
    verdicts = run / "verdicts.json"
    verdicts.unlink(missing_ok=True)
    size = f"{SIZE[0]}x{SIZE[1]}"
    command = ["export", str(run), "--to", ",".join(engines), "--precision", ",".join(precisions), "--size", size]
    seconds, said = _run([*command, "--json", str(verdicts)])
    if verdicts.is_file():
        cells = {}
        for verdict in json.loads(verdicts.read_text(encoding="utf-8")):
            name = f"{verdict['engine']}-{verdict['precision']}"
            cells[name] = {key: verdict[key] for key in _KEPT} | {"command_seconds": round(seconds, 1)}
            cells[name]["machine"] = machine("cpu") | {"threads": _THREADS}
        return cells
    if not alone and len(engines) * len(precisions) > 1:
        return None
    return {f"{engines[0]}-{precisions[0]}": _refusal(said)}


def _refusal(reason: str) -> dict[str, Any]:
    return {"status": "refused", "reason": reason, "machine": machine("cpu") | {"threads": _THREADS}}


def _run(arguments: Sequence[str]) -> tuple[float, str]:
    """Run ``densekd``; return its seconds and the last line that it said."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "densekd", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": str(_THREADS), "COLUMNS": "1000"}
    print(" ".join(arguments), flush=True)
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_LIMIT
        )
    except subprocess.TimeoutExpired:
        return float(_LIMIT), f"no answer within {_LIMIT} s"
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return time.monotonic() - begin, lines[-1] if lines else f"ended with status {done.returncode}"


def table(rows: dict[str, Any]) -> str:
    """Return the table in Markdown: a row for each model, a column for each artefact, reasons below."""
    columns = [f"{engine}-{precision}" for group, precisions in _GROUPS for engine in group for precision in precisions]
    columns = [name for name in columns if any(name in row for row in rows.values())]
    titles = []
    for name in columns:
        engine, precision = name.split("-")
        titles.append(f"{ENGINES[engine].title} {precision}")
    lines = ["| model | torch | " + " | ".join(titles) + " |", "|---" * (len(columns) + 2) + "|"]
    reasons: list[str] = []
    for title, row in rows.items():
        cells = [_cell(row.get(name), reasons) for name in columns]
        lines.append(f"| {title} | {_torch_score(row)} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))]
    return "\n".join(lines) + "\n"


def _torch_score(row: dict[str, Any]) -> str:
    """Return the score in torch, which is the same of all verdicts."""
    for cell in row.values():
        if cell.get("torch_score") is not None:
            return f"{cell['metric']} {cell['torch_score']:.1f}"
    return "not scored"


def _cell(cell: dict[str, Any] | None, reasons: list[str]) -> str:
    """Return a verdict with its numbers; what it has no room for is a numbered reason."""
    if cell is None:
        return "not tried"
    numbers = []
    if cell.get("difference") is not None:
        numbers.append(f"{cell['difference']:.0e}")
    if cell.get("drop") is not None:
        # Adding nothing makes +0.00 of -0.00.
        numbers.append(f"{round(-cell['drop'], 2) + 0.0:+.2f}")
    text = " ".join([cell["status"], *numbers])
    if cell["status"] == "verified":
        return text
    reason = " ".join(str(cell["reason"]).replace("|", "/").split())
    if reason not in reasons:
        reasons.append(reason)
    return f"{text} [{reasons.index(reason) + 1}]"


if __name__ == "__main__":
    main()
