"""The comparison as a table on the screen, and as rows of a JSON file."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from densekd.compare.groups import Comparison, Group
from densekd.compare.statistics import Interval
from densekd.metric_names import MetricName

_DASH = "\N{EN DASH}"


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the groups as plain data: scores, intervals, costs, and the folders of their runs."""
    return [_row(group) for group in comparison.groups]


def _row(group: Group) -> dict[str, Any]:
    first = group.runs[0]
    metric = first.metrics.headline
    return {
        "group": group.title,
        "metric": metric.key,
        "unit": metric.unit,
        "score": _plain(group.score),
        "difference": _plain(group.difference),
        "verdict": group.verdict,
        "seeds": [run.seed for run in group.runs],
        "parameters": first.scores.get("parameters"),
        "multiply_adds": _multiply_adds(first.scores),
        "milliseconds": first.milliseconds,
        "steps": first.steps,
        "seconds": mean_seconds(group),
        "by_class": class_means(group),
        "runs": [str(run.folder) for run in group.runs],
    }


def _plain(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else dict(interval._asdict())


def _multiply_adds(scores: Mapping[str, Any]) -> Any:
    """Return the multiply-adds that a file of results has; it may count them as FLOPs, of which one has two."""
    if scores.get("multiply_adds") is not None:
        return scores["multiply_adds"]
    flops = scores.get("flops")
    return None if flops is None else flops / 2


def mean_seconds(group: Group) -> float | None:
    """Return the mean seconds of the steps of a group's trainings; None where one is not known."""
    known = [run.seconds for run in group.runs if run.seconds is not None]
    return sum(known) / len(known) if len(known) == len(group.runs) and known else None


def class_means(group: Group) -> dict[str, float | None]:
    """Return the mean over seeds of every class's score; None where no run has it."""
    metric = group.runs[0].metrics.by_class
    if metric is None:
        return {}
    means: dict[str, float | None] = {}
    for name in group.runs[0].scores.get(metric.key) or {}:
        found = [(run.scores.get(metric.key) or {}).get(name) for run in group.runs]
        values = [float(value) for value in found if value is not None]
        means[name] = sum(values) / len(values) if values else None
    return means


def screen_table(comparison: Comparison) -> Table:
    """Return a row for each group: score, interval, difference, what that says, costs."""
    metric = comparison.groups[0].runs[0].metrics.headline
    against = f"against {comparison.baseline}" if comparison.baseline else "difference"
    arrow = "" if metric.better == "higher" else " (lower is better)"
    table = Table("runs", "seeds", f"{metric.label}{arrow}", against, "M params", "ms", "steps", "s")
    for column in (table.columns[1], *table.columns[4:]):
        column.justify = "right"
    for group in comparison.groups:
        row = _row(group)
        verdict = "baseline" if group.title == comparison.baseline else group.verdict
        difference = described(group.difference, metric, signed=True)
        table.add_row(
            group.title,
            str(len(group.runs)),
            described(group.score, metric),
            verdict if group.difference is None else f"{difference}\n{verdict}",
            _number(row["parameters"], 1e6, 2),
            _number(row["milliseconds"], 1, 1),
            str(row["steps"] or _DASH),
            _number(row["seconds"], 1, 0),
        )
    return table


def described(interval: Interval | None, metric: MetricName, signed: bool = False) -> str:
    """Write a value with its interval: ``41.2 (40.1 to 42.3)``."""
    if interval is None:
        return _DASH
    form = f"{'+' if signed else ''}.{metric.digits}f"
    text = format(interval.value, form)
    if interval.low is None or interval.high is None:
        return text
    return f"{text} ({interval.low:{form}} to {interval.high:{form}})"


def _number(value: Any, unit: float, digits: int) -> str:
    return _DASH if value is None else f"{float(value) / unit:.{digits}f}"
