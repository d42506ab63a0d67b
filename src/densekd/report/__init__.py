"""The report of a run: one self-contained HTML page made from the files of the run folder alone.

``results``, ``metrics`` and ``pictures`` read one kind of file each and ``run`` gathers them;
``headline``, ``classes`` and ``curves`` turn them into sentences, rows and coordinates; ``page``
fills the templates. Nothing here imports torch, so a report can be made where no model could run.
"""

from pathlib import Path

from densekd.atomic import atomic
from densekd.report.page import render
from densekd.report.run import read_run

__all__ = ["write_report"]


def write_report(run: Path) -> Path:
    """Write ``report.html`` into a run folder; a report already there is replaced in one move.

    The page needs no network, no script and no file beside it. Parts whose files are missing are
    left out.

    Args:
        run: the run folder. It holds ``results.json`` or ``metrics.csv``; ``baseline/metrics.csv``,
            ``recipe.yaml``, ``environment.json`` and ``predictions/`` are shown where present.

    Returns:
        The path of the report.

    Raises:
        densekd.errors.UserError: the folder holds neither file, or one of them is malformed.
    """
    page = render(read_run(run))
    path = run / "report.html"
    with atomic(path) as temporary:
        # A JSON file can smuggle in half a surrogate pair, which UTF-8 cannot hold.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path
