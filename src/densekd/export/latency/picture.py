"""Accuracy against latency as one SVG, readable on light and dark ground."""

from collections.abc import Sequence
from html import escape

from densekd.errors import UserError
from densekd.export.latency.benchmark import BenchmarkRow
from densekd.report.curves import Axis, axis, rounded

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 610, 34, 300
# Letters of a name that fit beside a point.
_LETTERS = 34

_STYLE = """
svg { background: #ffffff; font: 12px system-ui, sans-serif; fill: #15181c; }
line { stroke: #e2e5e9; } circle { fill: #0a64bd; } .soft { fill: #59616b; }
@media (prefers-color-scheme: dark) {
svg { background: #111316; fill: #e7e9ec; }
line { stroke: #2c3137; } circle { fill: #69b0ff; } .soft { fill: #9ba4ae; }
}
"""


def accuracy_picture(rows: Sequence[BenchmarkRow]) -> str:
    """Draw accuracy against milliseconds; models whose accuracy is not known are named below.

    Args:
        rows: as measured.

    Raises:
        UserError: no model knows its accuracy, or they know different metrics.
    """
    shown = [row for row in rows if row.score is not None]
    metrics = sorted({f"{row.metric} {row.unit}".strip() for row in shown})
    if len(metrics) != 1:
        reason = f"the models are scored by different metrics: {', '.join(metrics)}"
        if not metrics:
            reason = "none of the models' folders knows an accuracy"
        raise UserError(f"--picture: {reason}.")
    scores = [row.score for row in shown if row.score is not None]
    x = rounded(axis((0.0, max(row.median_ms for row in shown)), (LEFT, RIGHT)))
    y = rounded(axis((min(scores), max(scores)), (BOTTOM, TOP)))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    parts += [f"<title>{escape(metrics[0])} against milliseconds</title>", f"<style>{_STYLE}</style>"]
    parts += _axes(x, y, metrics[0])
    for row, score in zip(shown, scores, strict=True):
        parts.append(_point(row, x.place(row.median_ms), y.place(score)))
    missing = [_short(row) for row in rows if row.score is None]
    if missing:
        text = escape(f"accuracy not known: {', '.join(missing)}")
        parts.append(f'<text class="soft" x="{LEFT}" y="{HEIGHT - 6}">{text}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axes(x: Axis, y: Axis, metric: str) -> list[str]:
    parts = []
    for place, label in y.ticks:
        parts.append(f'<line x1="{LEFT}" y1="{place:.1f}" x2="{RIGHT}" y2="{place:.1f}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 8}" y="{place + 4:.1f}" text-anchor="end">{label}</text>')
    for place, label in x.ticks:
        parts.append(f'<line x1="{place:.1f}" y1="{BOTTOM}" x2="{place:.1f}" y2="{BOTTOM + 4}"/>')
        parts.append(f'<text class="soft" x="{place:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{label}</text>')
    # What the labels leave out, where they count in powers of ten.
    parts.append(f'<text x="{LEFT - 8}" y="16">{escape(metric)} {y.unit[2]}</text>')
    title = f"milliseconds (median) {x.unit[2]}"
    parts.append(f'<text x="{RIGHT}" y="{BOTTOM + 36}" text-anchor="end">{title}</text>')
    return parts


def _point(row: BenchmarkRow, x: float, y: float) -> str:
    # Names stand on the side where there is room.
    side, anchor = (8, "start") if x < (LEFT + RIGHT) / 2 else (-8, "end")
    label = escape(_short(row))
    told = escape(f"{row.model}: {row.median_ms:.2f} ms, {row.score:.2f} {row.unit}")
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{told}</title></circle>'
    return f'{circle}<text x="{x + side:.1f}" y="{y - 6:.1f}" text-anchor="{anchor}">{label}</text>'


def _short(row: BenchmarkRow) -> str:
    """Return the end of a name, which tells models of one folder apart."""
    name = f"{row.model} ({row.engine})"
    return name if len(name) <= _LETTERS else f"\N{HORIZONTAL ELLIPSIS}{name[-_LETTERS:]}"
