"""Fill the page: decide which charts there are and hand everything to the templates."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from densekd.metric_names import MetricName, MetricNames
from densekd.report import text
from densekd.report.classes import ClassRow, class_rows, class_summary
from densekd.report.curves import Chart, chart, first_step
from densekd.report.headline import budgets, certainty, headline, scored_on, size
from densekd.report.latency import shown
from densekd.report.metrics import Series
from densekd.report.pictures import KINDS
from densekd.report.results import Results
from densekd.report.run import Run
from densekd.report.shipping import megabytes

ROLES = {"teacher": "teacher", "baseline": "alone", "student": "distilled"}
CAPTIONS = dict(
    zip(KINDS, ("image", "ground truth", "teacher", "alone", "distilled", "distilled: errors"), strict=True)
)
TITLES = {
    "loss": "Total loss",
    "lr": "Learning rate",
    "seconds_per_step": "Time per step",
    "data_wait": "Share of a step that waits for data",
}
FAMILIES = {"task/": "Task loss", "distill/": "Distillation term", "val/": "Validation"}
# Charts of these ranks are in sight: the headline, the losses, the terms.
_MAIN = 2
SMOOTHED_SHARE = 25  # the bold line takes the median of one 25th of the run


def render(run: Run) -> str:
    """Make the page of a run.

    Args:
        run: the content of a run folder.

    Returns:
        A whole HTML document. Everything from the run is escaped.
    """
    templates = _templates(run)
    key = headline_key(run.names)
    units = {"seconds_per_step": "s"}
    if run.names is not None:
        units[key] = run.names.headline.unit
    charts, blank = draw_charts(run)
    # Those of first ranks come first; where there are none, all are in sight.
    in_sight = sum(_rank(one.name, key) <= _MAIN for one in charts) or len(charts)
    # What is said of the scores: nothing where there are none, as in a run without labels.
    scored: Results | None = None
    by_class: MetricName | None = None
    rows: list[ClassRow] = []
    remarks: list[str] = []
    summary = ""
    if run.results is not None and run.results.student is None and run.results.latency is not None:
        # Without scores there is no table for it.
        remarks = [run.results.latency.sentence]
    if run.results is not None and run.results.student is not None:
        scored = run.results
        remarks = [budgets(scored), size(scored), scored_on(scored), certainty(scored)]
        by_class = scored.names.by_class
    if scored is not None and by_class is not None:
        rows = class_rows(scored)
        summary = class_summary(rows, by_class)
    return templates.get_template("template.html.j2").render(
        run=run,
        results=scored,
        headline=headline(run),
        remarks=list(filter(None, remarks)),
        main_charts=charts[:in_sight],
        more_charts=charts[in_sight:],
        blank=blank,
        by_class=by_class,
        class_rows=rows,
        class_summary=summary,
        roles=ROLES,
        captions=CAPTIONS,
        units=units,
        headline_key=key,
    )


def _templates(run: Run) -> Environment:
    """Prepare the templates of the page, with the filters that write numbers and titles."""
    # The names come from files and the page is opened in a browser: nothing is trusted. A typo in a
    # template is fatal.
    templates = Environment(
        loader=PackageLoader("densekd", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "decimal": text.decimal,
        "signed": text.signed,
        "count": text.count,
        "whole": text.whole,
        "milliseconds": shown,
        "megabytes": lambda scores, role: shown(megabytes(run.shipping, role, scores.parameters)),
        "title": lambda name: title(name, run.names),
    }
    return templates


def headline_key(names: MetricNames | None) -> str:
    """Return the column of ``metrics.csv`` that holds the headline.

    Where the task is not known, the name is one that no column has.
    """
    if names is None:
        return ""
    return f"val/{names.headline.key}"


def title(name: str, names: MetricNames | None) -> str:
    """Say what a metric is, in words; its own name where nothing better is known."""
    if names is not None and name == headline_key(names):
        return f"Validation {names.headline.title}"
    for family, words in FAMILIES.items():
        if name.startswith(family):
            return f"{words}: {name.removeprefix(family)}"
    return TITLES.get(name, name)


def draw_charts(run: Run) -> tuple[list[Chart], list[str]]:
    """Lay out one chart per metric: the validations' headline, then the losses, then the rest.

    Args:
        run: the run. The baseline is drawn beside the student in validation and loss charts, the
            teacher's score as a level in the chart of the headline.

    Returns:
        The charts, and the names of the metrics that were logged but hold no finite value.
    """
    logged = dict.fromkeys((*run.student, *filter(_compared, run.baseline)))
    names = sorted(logged, key=lambda name: _rank(name, headline_key(run.names)))
    charts: list[Chart] = []
    blank: list[str] = []
    for name in names:
        series = _series(run, name)
        if not any(one.points for one in series.values()):
            blank.append(name)
            continue
        # The teacher's level is drawn and not smoothed, so the window is that of the curves.
        window = _window(name, tuple(series.values()))
        charts.append(chart(name, _with_teacher(run, name, series), window))
    return charts, blank


def _rank(name: str, first: str) -> int:
    if name == first:
        return -1
    families = ("loss", "task/", "distill/", "val/")
    for rank, family in enumerate(families):
        if name.startswith(family):
            return rank
    return len(families)


def _compared(name: str) -> bool:
    return name == "loss" or name.startswith(("task/", "distill/", "val/"))


def _series(run: Run, name: str) -> dict[str, Series]:
    """Return a metric of each model that logged it.

    The baseline's is left out where the two cannot be compared.
    """
    found: dict[str, Series] = {}
    if name in run.baseline and _compared(name):
        found["baseline"] = run.baseline[name]
    if name in run.student:
        found["student"] = run.student[name]
    return found


def _with_teacher(run: Run, name: str, series: dict[str, Series]) -> dict[str, Series]:
    """Add the teacher's score as a level line to the chart of the headline."""
    if name != headline_key(run.names) or run.results is None or run.results.teacher is None:
        return series
    steps: list[float] = []
    for one in series.values():
        steps += [step for step, _ in one.points]
    level = run.results.teacher.score
    return {"teacher": Series(((first_step(steps), level), (max(steps), level)), 0), **series}


def _window(name: str, series: Sequence[Series]) -> int:
    """Choose an odd number of values to take the median of: 1 for a schedule and for validations, not noisy."""
    if name == "lr" or name.startswith("val/"):
        return 1
    # Odd, so that as many neighbors lie on either side.
    longest = max(len(one.points) for one in series)
    return longest // SMOOTHED_SHARE // 2 * 2 + 1
