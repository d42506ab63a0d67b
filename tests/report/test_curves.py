import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from densekd.report import write_report

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def written(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def results(folder: Path, **scores: float) -> None:
    models = {name: {"miou": score} for name, score in scores.items()}
    (folder / "results.json").write_text(json.dumps({"task": "segmentation", **models}))


def charts(html: str) -> dict[str, ElementTree.Element]:
    found = [ElementTree.fromstring(svg) for svg in re.findall(r'<svg class="chart".*?</svg>', html, re.DOTALL)]
    return {chart.findtext("title", ""): chart for chart in found}


def line(chart: ElementTree.Element, kind: str) -> list[tuple[float, ...]]:
    found = next(one for one in chart.iter("polyline") if one.get("class") == kind)
    return [tuple(map(float, pair.split(","))) for pair in found.attrib["points"].split()]


def test_curves_lie_where_the_numbers_say(tmp_path: Path) -> None:
    (tmp_path / "baseline").mkdir()
    (tmp_path / "metrics.csv").write_text("step,task/ce,val/miou\n0,1.0,\n50,0.5,20\n100,0,40\n")
    (tmp_path / "baseline" / "metrics.csv").write_text("step,task/ce,val/miou,lr\n0,0.5,,1\n100,0.25,30,0\n")
    (tmp_path / "results.json").write_text(
        json.dumps({"task": "segmentation", "student": {"miou": 40.0}, "teacher": {"miou": 60.0}})
    )
    drawn = charts(written(tmp_path))
    # The plot spans x 48..462 and y 204..22; validation runs from step 50, mIoU from 20 to 60.
    assert line(drawn["Task loss: ce"], "line student") == [(48, 22), (255, 113), (462, 204)]
    assert line(drawn["Task loss: ce"], "line baseline") == [(48, 113), (462, 158.5)]
    assert line(drawn["Validation mIoU"], "line student") == [(48, 204), (462, 113)]
    assert line(drawn["Validation mIoU"], "line baseline") == [(462, 158.5)]
    assert line(drawn["Validation mIoU"], "line teacher") == [(48, 22), (462, 22)]
    assert list(drawn) == ["Validation mIoU", "Task loss: ce"]
    labels = [one.text for one in drawn["Validation mIoU"].iter("text")]
    assert labels == ["50", "60", "70", "80", "90", "100", "step", "20", "30", "40", "50", "60", "%"]
    description = drawn["Validation mIoU"].findtext("desc", "")
    assert "distilled ends at 40%." in description


def test_the_bold_line_is_the_running_median_and_outliers_are_counted(tmp_path: Path) -> None:
    values = [1.0 + step % 2 for step in range(300)]
    values[7] = 1e6
    rows = [f"{step},{value}" for step, value in enumerate(values)]
    (tmp_path / "metrics.csv").write_text("step,loss\n" + "\n".join([*rows, "300,nan", "301,inf"]) + "\n")
    html = written(tmp_path)
    chart = charts(html)["Total loss"]
    faint, bold = line(chart, "faint student"), line(chart, "line student")
    assert len(faint) == len(bold) == 300
    # Of 13 alternating values 7 are ones or 7 are twos: the median is either, and the axis ends there.
    assert {y for _, y in bold[10:-10]} == {22.0, 204.0}
    assert bold[7] != faint[7]
    assert faint[7][1] < -1e6
    assert "1 of 300 values beyond the axis. 2 not finite and not drawn." in html


def test_long_curves_are_thinned_without_losing_a_spike(tmp_path: Path) -> None:
    rows = [f"{step},{3 if step == 7777 else step / 10_000}" for step in range(10_000)]
    (tmp_path / "metrics.csv").write_text("step,val/loss\n" + "\n".join(rows) + "\n")
    points = line(charts(written(tmp_path))["Validation: loss"], "line student")
    assert 300 < len(points) <= 402
    assert min(points, key=lambda point: point[1]) == (370.0, 22.0)
    assert (points[0], points[-1][0]) == ((48, 204), 462)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["0", "0.0001"], ["0", "0.2", "0.4", "0.6", "0.8", "1.0", f"{TIMES}10⁻⁴"]),
        (["-20000", "30000"], [f"{MINUS}20k", f"{MINUS}10k", "0", "10k", "20k", "30k"]),
        (["0.5", "0.5"], ["0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]),
    ],
)
def test_tick_labels(tmp_path: Path, values: list[str], labels: list[str]) -> None:
    (tmp_path / "metrics.csv").write_text("step,lr\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values)))
    texts = [one.text for one in charts(written(tmp_path))["Learning rate"].iter("text")]
    assert texts[texts.index("step") + 1 :] == labels


def test_a_resumed_run_counts_the_later_row_and_no_results_is_said(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,val/miou,blank\n1000,9,nan\n2000,99,\n\n1000,10,\n2000,45.25,\n")
    (tmp_path / "recipe.yaml").write_text("task: {kind: segmentation}")
    html = written(tmp_path)
    assert "Its last validation gave 45.2 % mIoU at step 2000." in html.replace("\xa0", " ")
    assert line(charts(html)["Validation mIoU"], "line student") == [(48, 204), (462, 43.6)]
    assert "Logged, but never finite, so not drawn: blank." in html
    assert "<table" not in html


def test_a_single_validation_is_a_dot_below_the_level_of_the_teacher(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,val/miou\n1200,30\n")
    (tmp_path / "results.json").write_text(
        json.dumps({"task": "segmentation", "student": {"miou": 30.0}, "teacher": {"miou": 60.0}})
    )
    chart = charts(written(tmp_path))["Validation mIoU"]
    assert [(one.get("cx"), one.get("cy")) for one in chart.iter("circle")] == [("462.0", "204.0")]
    assert line(chart, "line teacher") == [(48, 22), (462, 22)]
