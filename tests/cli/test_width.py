"""Every table of the command line is whole at 80 columns: no heading, name or number is cut or broken."""

import ast
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.table import Table
from typer.testing import CliRunner

import densekd
from densekd.cli.app import app
from densekd.cli.benchmark import benchmark_table
from densekd.cli.inspection import describe_class_maps, describe_datasets, describe_losses, measured_table
from densekd.cli.presets import preset_table
from densekd.cli.verdicts import verdict_table
from densekd.compare.groups import Comparison, Group
from densekd.compare.runs import Run
from densekd.compare.statistics import Interval
from densekd.compare.table import screen_table
from densekd.data.check import DataReport, Problem, SplitReport
from densekd.doctor.examine import findings_table
from densekd.doctor.finding import Finding
from densekd.export.engines import ENGINES
from densekd.export.latency.benchmark import BenchmarkRow
from densekd.export.verdict import Verdict
from densekd.metric_names import MetricNames
from densekd.models.zoo import ZOO
from densekd.presets import PRESETS
from densekd.report.tables import comparison_table, score_table
from densekd.run.data_check import data_table
from densekd.sweep.leaderboard import Difference, Row, leaderboard_table
from densekd.tasks import Detection, Segmentation
from densekd.tasks.depth.metric_names import metrics_in
from densekd.terminal import Terminal

WIDTH = 80
RUN = "runs/deeplabv3-resnet18-cwd-seed1"
METRICS = {"segmentation": Segmentation.metrics, "detection": Detection.metrics, "depth": metrics_in("m")}
SEGMENTATION, DETECTION = METRICS["segmentation"], METRICS["detection"]


class Shown(NamedTuple):
    """A table, and text that must be in one piece wherever it stands."""

    table: Table
    whole: list[str]


def lines(table: Table, width: int = WIDTH) -> list[str]:
    screen = io.StringIO()
    Terminal(file=screen, width=width, force_terminal=False).print(table)
    return screen.getvalue().splitlines()


def scores(names: MetricNames, digits: str = "98.76") -> dict[str, Any]:
    """Return scores of the widest kind, for each key of a task."""
    found: dict[str, Any] = {name.key: float(digits) for name in names.names}
    if names.by_class is not None:
        found[names.by_class.key] = {"a class of a rather long name, with words": float(digits)}
    if names.interval:
        found[names.interval] = [97.65, 99.87]
    return {**found, "images": 2975, "parameters": 103_280_000, "metrics": names.to_json()}


def comparison(task: str) -> Shown:
    names = METRICS[task]
    one = scores(names)
    models = ("teacher", "baseline", "baseline_seconds", "student")
    times = dict.fromkeys(models, 1234)
    results = {"split": "val", "metrics": names.to_json(), "latency": {"milliseconds": times}}
    table = comparison_table({**results, **dict.fromkeys(models, one)})
    return Shown(table, ["distilled", "98.76", "103.28 M", "1234", *[name.title for name in names.columns]])


def benchmark(batch: int) -> Shown:
    row = BenchmarkRow(
        RUN, "openvino int8", (512, 1024), batch, 1, 50, 1234.56, 1334.56, 1234.5, 413_500_000, 14_321_000_000,
        103_280_000, 1_789_120_000_000, 98.76, "mIoU", "%",
    )  # fmt: skip
    numbers = ["1234.56", "1334.56", "1234.5", "413.5", "14321", "103.28", "1789.12", "98.76"]
    return Shown(benchmark_table([row, row]), numbers)


def verdicts() -> Shown:
    rows = []
    for engine in ENGINES:
        row = Verdict(
            engine, "int8", "converted", difference=1.2e-5, equal_labels=0.99871, metric="mIoU", unit="%",
            torch_score=98.76, engine_score=97.65, drop=1.11, bytes=413_500_000,
        )  # fmt: skip
        rows.append(row)
    whole = [f"{engine}-int8" for engine in ENGINES]
    return Shown(verdict_table(rows), [*whole, "converted", "1.2e-05", "99.87", "98.76", "97.65", "+1.11", "413.5"])


def compared(names: MetricNames) -> Shown:
    run = Run(Path(RUN), "", 0, scores(names), names, {}, None, [], 123456.0, 160000, milliseconds=123.4)
    score = Interval(58.71, 57.69, 59.73, "seeds", 3)
    difference = Interval(-11.21, -12.12, 10.32, "seeds", 3)
    groups = (Group("student alone", (run,), score), Group("cwd on the logits", (run, run, run), score, difference))
    numbers = ["103.28", "123.4", "160000", "123456", "distinguishable"]
    return Shown(screen_table(Comparison(groups, "student alone")), numbers)


def leaders() -> Shown:
    metric = SEGMENTATION.headline
    point = {"method": "cirkd_minibatch", "student": "deeplabv3_mobile"}
    row = Row(point, metric, "val", {"0": 41.0, "1": 43.0}, None, {}, [], False, Difference(-11.2, -12.1, 10.3, 2, "x"))
    base = Row(point, metric, "val", {"0": 41.0, "1": 43.0}, None, {}, [], True, None)
    return Shown(leaderboard_table([row, base]), ["42.00", "1.41", "-11.20", "baseline", "mIoU, %"])


def data() -> Shown:
    counts = {"pixels": dict.fromkeys(("road", "sidewalk", "traffic light"), 1000)}
    parts = tuple(SplitReport(split, 2975, {(1024, 2048): 2975}, counts) for split in ("train", "val"))
    path = "/data/streets/labels/train/frankfurt_000000_000294_gtFine_labelTrainIds_of_a_long_name.png"
    problem = Problem("warning", "train", path, "the label has values that no class has")
    return Shown(data_table(DataReport(parts, (problem,))), ["train", "warning", "traffic light"])


def findings() -> Shown:
    found = Finding("teacher-near-chance", "error", "the teacher scores 12.3, chance 11.9", "train it for longer")
    return Shown(findings_table([found]), ["what to change", "evidence"])


def measured() -> Shown:
    rows = [{**entry._asdict(), "parameters": 103_280_000, "multiply_adds": 1_789_120_000_000} for entry in ZOO]
    return Shown(measured_table(rows, "512x1024"), ["103.28", "1789.1", *[row["model"] for row in rows]])


def catalogues() -> Iterator[Shown]:
    yield Shown(describe_losses(), ["cirkd_minibatch", "options"])
    yield Shown(describe_datasets(), ["supervisely-boxes", "options"])
    yield Shown(describe_class_maps(), ["class map", "logits"])
    yield Shown(preset_table(list(PRESETS.values())), [*PRESETS, "score"])


# Functions that make a table -> one that they made, of their longest content.
TABLES: dict[str, Callable[[], Shown]] = {
    "benchmark_table": lambda: benchmark(1),
    "benchmark_table of a batch": lambda: benchmark(32),
    "comparison_table of boxes": lambda: comparison("detection"),
    "comparison_table of depth": lambda: comparison("depth"),
    "comparison_table": lambda: comparison("segmentation"),
    "data_table": data,
    "findings_table": findings,
    "leaderboard_table": leaders,
    "measured_table": measured,
    "score_table": lambda: Shown(score_table(scores(SEGMENTATION)), ["98.76", "97.65 to 99.87"]),
    "screen_table of boxes": lambda: compared(DETECTION),
    "screen_table": lambda: compared(SEGMENTATION),
    "verdict_table": verdicts,
}


def require_whole(shown: Shown) -> None:
    columns = [re.split(r"\s+", str(column.header)) for column in shown.table.columns]
    found = lines(shown.table)
    text = "\n".join(found)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, found)) <= WIDTH
    words = re.findall(r"\S+", text)
    for column in columns:
        # Every word of every heading stands somewhere.
        assert set(filter(None, column)) <= set(words)
    for piece in shown.whole:
        assert piece in text
    # Where there is room no heading is broken.
    wide = "\n".join(lines(shown.table, 400))
    assert all(str(column.header) in wide for column in shown.table.columns)


# Tables with few columns of text, which no content makes too wide: each cell breaks between words.
TEXT = {
    "check",
    "data_table",
    "_describe_model",
    "_describe_modules",
    "_describe_origin",
    "findings_table",
    "status_table",
    "_catalogue",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_whole_at_80_columns(name: str) -> None:
    require_whole(TABLES[name]())


def test_summaries_in_the_help_are_whole_at_80_columns() -> None:
    for words in ([], ["data"]):
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(WIDTH)}, prog_name="densekd").output
        assert "Commands:" in shown
        cut = [line for line in shown.splitlines() if line.rstrip().endswith("...") and "Usage" not in line]
        assert not cut


def test_no_table_is_left_out() -> None:
    """A function that makes a table of rich stands above."""
    found = set()
    for path in Path(densekd.__file__).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "from rich.table import" not in source:
            continue
        for function in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)):
            calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
            if any(isinstance(call, ast.Name) and call.id == "Table" for call in calls):
                found.add(function.name)
    shown = {name.partition(" ")[0] for name in TABLES}
    assert found == shown | TEXT | {"preset_table", "describe_class_maps"}


def test_catalogues_are_whole_at_80_columns() -> None:
    for shown in catalogues():
        require_whole(shown)
