"""Files that a command may replace: its own of an earlier time; anything else only with ``--force``."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from densekd.cli.console import begin_json
from densekd.errors import UserError
from densekd.parsers import load_json

Force = Annotated[bool, typer.Option("--force", help="replace what is there, whoever made it")]
# What the JSON of a command always has, by which it is known again.
SCORES = ("model", "split", "task", "metrics")
DATA_CHECK = ("fails", "splits", "problems")
BENCHMARK = ("model", "engine", "median_ms", "p95_ms")
VERDICTS = ("engine", "precision", "status", "difference")
FINDINGS = ("healthy", "findings")
COMPARISON = ("group", "score", "difference", "runs")
RESULTS = ("task", "metrics", "split", "student")
CONVERTED = ("model", "options", "classes", "out")
PREDICTED = ("model", "out", "done")
CHECKED = ("recipe", "checked")
COMPARED = ("teacher", "alone", "distilled")
FETCHED = ("recipe", "weights")
INSPECTED = ("model", "tables")
LISTED = ("name", "what")
PRESET = ("name", "student", "teacher", "data")
PROPOSED = ("data", "task", "recipes")
SWEPT = ("trials", "leaderboard")
MODELS = ("model", "options", "parameters", "multiply_adds")


def require_own_json(path: Path | None, keys: Collection[str], force: bool) -> None:
    """Check before anything is computed that ``--json FILE`` replaces nothing but an earlier result.

    Args:
        path: of the file; None where none is asked for.
        keys: what such a result has, or each row of a list of them.
        force: replace whatever is there.

    Raises:
        UserError: another file, or a folder.
    """
    if begin_json(path) or path is None or not path.exists():
        return
    if path.is_dir():
        raise UserError(f"--json {path}: is a folder; name a file.")
    if not force and not _has_keys(path, keys):
        raise UserError(f"--json {path}: there is another file, which this command did not write; --force replaces it.")


def _has_keys(path: Path, keys: Collection[str]) -> bool:
    """Return whether a file is JSON with certain keys, or a list of such."""
    try:
        content: Any = load_json(path)
    except (OSError, ValueError):
        return False
    if isinstance(content, list) and content:
        content = content[0]
    return isinstance(content, dict) and set(keys) <= content.keys()
