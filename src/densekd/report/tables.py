"""Scores as tables on the screen."""

from typing import Any

from rich.table import Table

from densekd.titles import titles_of

_TITLES = {"teacher": "teacher", "baseline": "student alone", "student": "student"}


def score_table(scores: dict[str, Any]) -> Table:
    """Return the scores of one model: the means, then every class."""
    titles = titles_of(scores)
    key, name = titles.by_class
    table = Table("class", f"{name} %", title=f"{scores['images']} images", title_justify="left")
    table.columns[1].justify = "right"
    for name, value in scores[key].items():
        table.add_row(name, _percent(value))
    table.add_section()
    for key, name in titles.means.items():
        if key in scores:
            table.add_row(name, _percent(scores[key]), style="bold" if key == titles.headline else "")
    if scores.get("miou_interval"):
        table.add_row("mIoU, 95 % over images", " to ".join(_percent(end) for end in scores["miou_interval"]))
    return table


def comparison_table(results: dict[str, Any]) -> Table:
    """Return teacher, student alone and student side by side."""
    titles = titles_of(results["student"])
    columns = [f"{titles.means[key]} %" for key in titles.compared]
    table = Table("model", *columns, "parameters", title=f"split {results['split']}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for key, name in _TITLES.items():
        scores = results.get(key)
        if scores is None:
            continue
        distilled = key == "student" and results.get("teacher") is not None
        values = [_percent(scores[metric]) for metric in titles.compared]
        table.add_row("student distilled" if distilled else name, *values, f"{scores['parameters'] / 1e6:.2f} M")
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
