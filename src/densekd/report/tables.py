"""Scores as tables on the screen."""

from typing import Any

from rich.table import Table

from densekd.metric_names import MetricName, MetricNames
from densekd.report.budget import read_budget
from densekd.report.headline import budget_line
from densekd.report.latency import shown

_TITLES = {
    "teacher": "teacher",
    "baseline": "student alone",
    "baseline_seconds": "student alone, equal seconds",
    "student": "student",
}


def score_table(scores: dict[str, Any]) -> Table:
    """Return the scores of one model: those of the classes, where there are any, then the means.

    Args:
        scores: as ``densekd evaluate --json`` writes them, with ``metrics`` that say what they are
            called.
    """
    names = MetricNames.from_json(scores["metrics"])
    heads = ("score", "value")
    if names.by_class is not None:
        heads = ("class", _head(names.by_class))
    table = Table(*heads, title=f"{scores['images']} images", title_justify="left")
    table.columns[1].justify = "right"
    if names.by_class is not None:
        for name, value in scores[names.by_class.key].items():
            table.add_row(name, _number(value, names.by_class))
        table.add_section()
    for metric in names.names:
        if metric.key in scores:
            title = metric.title
            # Percent goes without saying; every other unit is named.
            if metric.unit != "%":
                title = f"{metric.title} {metric.unit}".strip()
            style = "bold" if metric == names.headline else ""
            table.add_row(title, _number(scores[metric.key], metric), style=style)
    interval = scores.get(names.interval or "")
    if interval:
        low, high = interval
        between = f"{_number(low, names.headline)} to {_number(high, names.headline)}"
        table.add_row(f"{names.headline.title}, 95 % over images", between)
    return table


def worst_lines(scores: dict[str, Any]) -> list[str]:
    """Return a line for each of the images that score worst, with a line above them; none where that is not known.

    Args:
        scores: as for :func:`score_table`.
    """
    found = scores.get("worst") or []
    if not found:
        return []
    metric = MetricNames.from_json(scores["metrics"]).headline
    lines = [f"{_number(one[metric.key], metric):>7}  {one['image']}" for one in found]
    return [f"worst images, {metric.title} of each alone:", *lines]


def comparison_table(results: dict[str, Any]) -> Table:
    """Return teacher, student alone and student side by side.

    Args:
        results: the content of ``results.json``.
    """
    names = MetricNames.from_json(results["metrics"])
    columns = [_head(metric) for metric in names.columns]
    title = f"split {results['split']}"
    # Runs of earlier versions have no latency.
    latency = results.get("latency")
    last = ("parameters",) if latency is None else ("parameters", "ms")
    table = Table("model", *columns, *last, title=title, title_justify="left")
    table.caption, table.caption_justify = _budget_line(results, names.headline), "left"
    for column in table.columns[1:]:
        column.justify = "right"
    # The teacher first, then the student without and with it.
    for key, name in _TITLES.items():
        scores = results.get(key)
        if scores is None:
            continue
        if key == "student" and results.get("teacher") is not None:
            name = "student distilled"
        values = [_number(scores[metric.key], metric) for metric in names.columns]
        cells = [f"{scores['parameters'] / 1e6:.2f} M"]
        if latency is not None:
            cells.append(shown(latency["milliseconds"].get(key)))
        table.add_row(name, *values, *cells)
    return table


def _budget_line(results: dict[str, Any], metric: MetricName) -> str | None:
    """Say below the table what was equal between student and student alone; None where that is not known."""
    budget = read_budget(results.get("budget"))
    student = (results.get("student") or {}).get(metric.key)
    baseline = (results.get("baseline") or {}).get(metric.key)
    if budget is None or student is None or baseline is None:
        return None
    longer = (results.get("baseline_seconds") or {}).get(metric.key)
    return budget_line(budget, metric, student, (baseline, longer))


def _head(metric: MetricName) -> str:
    """Return title and unit, and an arrow where lower is better."""
    head = f"{metric.title} {metric.unit}".strip()
    if metric.better == "lower":
        return f"{head} \N{DOWNWARDS ARROW}"
    return head


def _number(value: float | None, metric: MetricName) -> str:
    """Write a score with one decimal more than a report, where the eye compares and does not read."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.{metric.digits + 1}f}"
