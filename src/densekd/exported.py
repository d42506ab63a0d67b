"""Verdicts of exported artefacts beside a run or a package, as rows of a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.atomic import write_text
from densekd.errors import UserError
from densekd.parsers import load_json

_CARD = "README.md"
_HEADING = "## Exported"
# By this line of its front matter a model card of ours is known.
_OURS = "library_name: densekd"
# What is said of a status.
_TITLES = {
    "verified": "verified",
    "compared": "numbers compared, not scored",
    "converted": "converted, not verified",
    "refused": "refused",
}


@dataclass(frozen=True)
class ExportRow:
    """One artefact.

    Args:
        artefact: name of its folder: engine and precision.
        engine: title and version.
        verdict: verified, compared, converted or refused, in words.
        difference: from torch, relative to the largest output; empty where it was not measured.
        score: the engine's beside torch's; empty where nothing was scored.
        drop: by how much the engine is worse; empty where nothing was scored.
        size: on disk.
        reason: of the verdict.
    """

    artefact: str
    engine: str
    verdict: str
    difference: str
    score: str
    drop: str
    size: str
    reason: str


def read_exports(folder: Path) -> tuple[ExportRow, ...]:
    """Read what ``densekd export`` wrote into ``export/`` of a folder; what is damaged there is left out.

    Args:
        folder: of a run or a package.
    """
    rows = []
    for path in sorted((folder / "export").glob("*/model.json")):
        try:
            rows.append(_row(path.parent.name, load_json(path, small=True)))
        except (OSError, UserError, ValueError, KeyError, TypeError, AttributeError):
            # A side note of a report: somebody else's file of that name is none of ours.
            continue
    return tuple(rows)


def exports_markdown(rows: tuple[ExportRow, ...]) -> str:
    """Return a section of a model card; empty where there are no artefacts."""
    if not rows:
        return ""
    lines = [_HEADING, "", "| artefact | engine | verdict | difference | score (torch) | MB |"]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        cells = (row.artefact, row.engine, row.verdict, row.difference, row.score, row.size)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def refresh_card(folder: Path) -> None:
    """Write the verdicts of ``export/`` into the model card of a package; without a card of ours, do nothing.

    Args:
        folder: of the package.
    """
    path = folder / _CARD
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if _OURS not in text.partition("\n---")[0].splitlines():
        return
    before, found, after = text.partition(f"\n{_HEADING}\n")
    # Sections that people wrote behind it stay.
    _, more, rest = after.partition("\n## ")
    section = exports_markdown(read_exports(folder))
    kept = f"\n## {rest}" if found and more else ""
    write_text(path, f"{before.rstrip()}\n\n{section}{kept}" if section else text)


def _row(name: str, content: Mapping[str, Any]) -> ExportRow:
    verdict = content["verdict"]
    difference = verdict["difference"]
    score, drop = "", ""
    if verdict["engine_score"] is not None and verdict["torch_score"] is not None:
        unit = f" {verdict['unit']}".rstrip()
        score = f"{verdict['metric']} {verdict['engine_score']:.2f}{unit} ({verdict['torch_score']:.2f})"
    if verdict["drop"] is not None:
        drop = f"{verdict['drop']:+.2f}"
    return ExportRow(
        artefact=name,
        engine=f"{content['engine']['title']} {content['engine']['version']}",
        verdict=_TITLES[verdict["status"]],
        difference="" if difference is None else f"{difference:.1e}",
        score=score,
        drop=drop,
        size=f"{verdict['bytes'] / 1e6:.1f}",
        reason=str(verdict["reason"]),
    )
