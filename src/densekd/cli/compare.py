"""Command ``compare``: which method and student is better, by how much, and whether that can be told."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densekd.cli.arguments import JsonPath
from densekd.cli.console import console, print_next, print_plain, write_json
from densekd.cli.own_files import COMPARISON, Force, require_own_json
from densekd.errors import UserError

if TYPE_CHECKING:
    from densekd.compare.runs import Run

# Where the page of an earlier comparison is known by.
_TITLE = "<title>Comparison &ndash; densekd</title>"


def compare(
    runs: Annotated[list[str], typer.Argument(help="run folders, folders of runs, quoted patterns")],
    baseline: Annotated[
        str | None, typer.Option(help="group or run that the others are compared with; default: the student alone")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="also write one page with pictures and curves: FILE.html")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="refuse runs that cannot be compared")] = False,
    latency: Annotated[
        Path | None,
        typer.Option(
            help="milliseconds from a file of 'densekd benchmark --json'; default: of each training's machine"
        ),
    ] = None,
    json: JsonPath = None,
    force: Force = False,
) -> None:
    """Compare runs over seeds: means, intervals, differences. Differences are paired; costs stand beside."""
    from densekd.atomic import write_text
    from densekd.compare.groups import compare_runs
    from densekd.compare.latency import with_milliseconds
    from densekd.compare.page import comparison_page
    from densekd.compare.runs import find_runs, mark_odd, mark_teachers, read_run, teachers
    from densekd.compare.table import comparison_rows, screen_table

    require_own_json(json, COMPARISON, force)
    _require_own_page(html, force)
    read, unfinished = [], []
    for folder in find_runs(runs):
        if not (folder / "results.json").is_file():
            unfinished.append(str(folder))
            continue
        read += read_run(folder)
    if unfinished and (strict or not read):
        raise UserError(f"not finished: {', '.join(unfinished)}; 'densekd train RUN --resume' goes on.")
    marked = mark_odd(mark_teachers(read))
    odd = [f"{run.folder}: {run.odd}" for run in marked if run.odd]
    if odd and strict:
        raise UserError("--strict: these runs cannot be compared with the others:\n" + "\n".join(odd))
    if latency is not None:
        marked = with_milliseconds(marked, latency)
    comparison = compare_runs(marked, baseline)
    console.print(screen_table(comparison))
    for line in (*odd, *[f"{folder}: not finished, left out" for folder in unfinished], *_without_images(marked)):
        print_plain(line)
    write_json(json, comparison_rows(comparison))
    if html is not None:
        write_text(html, comparison_page(comparison))
        print_plain(f"page: {html}")
    # The best of all is what ships, but no teacher of another.
    teaching = teachers(marked)
    scored = []
    for run in marked:
        if run.score is not None and run.folder.resolve() not in teaching:
            scored.append((run.metrics.headline.gain(run.score, 0.0), str(run.folder)))
    if scored:
        print_next("densekd", "export", max(scored)[1], "--to", "onnx")


def _without_images(runs: "list[Run]") -> list[str]:
    """Say how runs without a file of scores of each image get one, where others are compared image by image."""
    lacking = [str(run.folder) for run in runs if run.images is None and not run.odd]
    if not lacking or len(lacking) == len(runs):
        return []
    return [f"{one}: no scores of each image; densekd evaluate {shlex.quote(one)} writes them" for one in lacking]


def _require_own_page(path: Path | None, force: bool) -> None:
    """Check before anything is computed that ``--html`` replaces nothing but an earlier comparison.

    Raises:
        UserError: another file, or a folder.
    """
    if path is None or not path.exists():
        return
    if path.is_dir():
        raise UserError(f"--html {path}: is a folder; name a file.")
    if not force and _TITLE not in path.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise UserError(f"--html {path}: there is another file, which this command did not write; --force replaces it.")
