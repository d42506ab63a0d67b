"""Confusion matrix as a picture: titled axes, percent in the cells, light and dark."""

import html
from collections.abc import Sequence

import numpy as np

from densekd.data.classes import Classes
from densekd.tasks.protocol import Figure

# In the drawing's own units: side of a cell, width of a letter, room for an axis title.
_CELL = 26
_LETTER = 6.2
_TITLE = 22
_LONGEST = 24
# Shares of a row: fainter cells are left out, smaller ones have no number.
_VISIBLE = 0.0005
_NUMBERED = 0.005
# From this share on a cell is so dark that its number is white on light paper too.
_DARK = 0.85
_STYLE = """<style>
text { fill: #59616b; font: 11px system-ui, sans-serif; }
.title { font-weight: 600; }
.cell { fill: #15181c; font-size: 10px; text-anchor: middle; }
.cell.dark { fill: #ffffff; }
.frame { fill: none; stroke: #e2e5e9; }
.right { fill: #2a7f4f; }
.wrong { fill: #c0392b; }
@media (prefers-color-scheme: dark) {
text { fill: #9ba4ae; }
.cell, .cell.dark { fill: #f4f5f6; }
.frame { stroke: #2c3137; }
}
</style>"""


def confusion_picture(counts: Sequence[Sequence[int]], classes: Classes) -> Figure:
    """Draw a confusion matrix: rows are labels, columns predictions, each row in percent of its pixels.

    Args:
        counts: ``[C, C]`` pixels.
        classes: for the names.
    """
    pixels = np.array(counts)
    shares = pixels / np.maximum(pixels.sum(1, keepdims=True), 1)
    names = [_short(name) for name in classes.names]
    # Room for the names, left of the rows and above the columns.
    margin = _TITLE + max(map(len, names), default=0) * _LETTER + 8
    side = len(names) * _CELL
    size = round(margin + side + 4)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" height="{size}">',
        _STYLE,
        f'<rect class="frame" x="{margin - 1:.1f}" y="{margin - 1:.1f}" width="{side + 1}" height="{side + 1}"/>',
        *_axes(names, margin),
    ]
    # Of 150 classes most pairs never meet.
    for row, column in np.argwhere(shares >= _VISIBLE):
        share = float(shares[row, column])
        kind = "right" if row == column else "wrong"
        title = f"{classes.names[row]} predicted as {classes.names[column]}: {100 * share:.1f} %"
        x, y = margin + column * _CELL, margin + row * _CELL
        parts.append(_cell(share, kind, title, (x, y)))
    description = "Rows: labels. Columns: what the distilled student predicts. Numbers: percent of the label's pixels."
    return Figure("confusion", "Confusion matrix", description, "\n".join([*parts, "</svg>"]))


def _axes(names: Sequence[str], margin: float) -> list[str]:
    """Draw the titles of both axes and the names along them, those of the columns turned."""
    center = margin + len(names) * _CELL / 2
    turned = f"translate(14 {center:.1f}) rotate(-90)"
    parts = [
        f'<text class="title" x="{center:.1f}" y="14" text-anchor="middle">predicted</text>',
        f'<text class="title" transform="{turned}" text-anchor="middle">label</text>',
    ]
    end = margin - 7
    for k, name in enumerate(names):
        at = margin + (k + 0.5) * _CELL + 4
        parts.append(f'<text x="{end:.1f}" y="{at:.1f}" text-anchor="end">{html.escape(name)}</text>')
        parts.append(f'<text transform="translate({at:.1f} {end:.1f}) rotate(-90)">{html.escape(name)}</text>')
    return parts


def _cell(share: float, kind: str, title: str, place: tuple[float, float]) -> str:
    """Draw one cell, and its percentage where that is not 0."""
    x, y = place
    side = _CELL - 1
    opacity = f"{0.08 + 0.92 * share:.3f}"
    drawn = f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{side}" height="{side}" fill-opacity="{opacity}"/>'
    if share >= _NUMBERED:
        ink = "cell dark" if share >= _DARK else "cell"
        middle, line = x + side / 2, y + side / 2 + 3.5
        drawn += f'<text class="{ink}" x="{middle:.1f}" y="{line:.1f}">{100 * share:.0f}</text>'
    return f"<g><title>{html.escape(title)}</title>{drawn}</g>"


def _short(name: str) -> str:
    """Return a name that leaves room for the matrix."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
