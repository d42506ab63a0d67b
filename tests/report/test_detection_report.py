"""A detector's report says AP where a segmentor's says mIoU."""

import io
import json
import re
from base64 import b64decode
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from densekd.errors import UserError
from densekd.report import write_report
from densekd.tasks.detection.metric_names import METRICS

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def scores(ap: float, **more: Any) -> dict[str, Any]:
    return (
        {"ap": ap, "ap50": ap + 20.5, "ap75": ap + 1, "ap_small": None, "ap_medium": ap - 3, "ap_large": ap + 9}
        | {"ar_1": 30.0, "ap_by_class": {"cell": ap + 4, "platelet": ap - 4, "ghost": None}, "images": 73}
        | more
    )


def results() -> dict[str, Any]:
    models = {"teacher": scores(41.5, parameters=51_000_000), "baseline": scores(30.0), "student": scores(38.25)}
    return {"task": "detection", "split": "val", **models, "palette": {"cell": [200, 0, 0], "platelet": [0, 0, 200]}}


def report(folder: Path, document: object) -> str:
    (folder / "results.json").write_text(json.dumps(document))
    return write_report(folder).read_text(encoding="utf-8")


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))).split())


def table(html: str, kind: str) -> list[list[str]]:
    found = re.search(rf'<table class="{kind}">(.*?)</table>', html, re.DOTALL)
    assert found
    rows = re.findall(r"<tr.*?</tr>", found[1], re.DOTALL)
    return [[plain(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows]


def test_headline_and_tables(tmp_path: Path) -> None:
    html = report(tmp_path, results())
    assert (
        "The distilled student scores 38.2 % AP: 8.2 points above the same student trained alone, and recovers 72 % of "
        "the gap to the teacher."
    ) in plain(html)
    assert "Scored on 73 images of the val split." in plain(html)
    head, teacher, alone, distilled = table(html, "scores")
    assert head == [
        *("Model", "AP, %", "Δ", "AP50, %", "Δ", "AP75, %", "Δ"),
        *("APs, %", "Δ", "APm, %", "Δ", "APl, %", "Δ", "Parameters"),
    ]
    assert teacher[:5] == ["teacher", "41.5", "+11.5", "62.0", "+11.5"]
    assert alone[7:] == [DASH, "", "27.0", "", "39.0", "", DASH]
    assert distilled[5:] == ["39.2", "+8.2", DASH, "", "35.2", "+8.2", "47.2", "+8.2", DASH]
    assert table(html, "classes") == [
        ["Class", "AP, %", "distilled", "alone", "Δ", "teacher"],
        ["cell", "", "42.2", "34.0", "+8.2", "45.5"],
        ["platelet", "", "34.2", "26.0", "+8.2", "37.5"],
        ["ghost", "", DASH, DASH, "", DASH],
    ]
    assert not re.search("IoU|mAcc", html)


def test_validation_ap_is_the_first_chart_and_has_the_teachers_level(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "step,loss,val/ap,val/ap50,val/ap_small\n0,3,,,\n50,2,20,40,nan\n100,1,38.25,,\n"
    )
    html = report(tmp_path, results())
    assert re.findall(r"<figcaption><h3>(.*?)</h3>", html) == ["Validation AP", "Total loss", "Validation: ap50"]
    assert "teacher 41.5" in plain(html)
    assert "Logged, but never finite, so not drawn: val/ap_small." in plain(html)


def test_an_unfinished_run_gives_its_last_validation(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,val/ap\n1200,30\n")
    (tmp_path / "metrics.json").write_text(json.dumps({"task": "detection", "metrics": METRICS.to_json()}))
    html = write_report(tmp_path).read_text(encoding="utf-8")
    assert "The student has not been evaluated yet. Its last validation gave 30.0 % AP at step 1200." in plain(html)


def test_pictures_of_boxes_are_photographs(tmp_path: Path) -> None:
    """A photograph as PNG of the report's size is a megabyte; those of labels keep every pixel and stay PNG."""
    (tmp_path / "predictions").mkdir()
    for kind in ("image", "truth", "student", "student-errors"):
        Image.radial_gradient("L").convert("RGB").save(tmp_path / "predictions" / f"a.{kind}.png")
    found = re.findall(r'<img src="data:image/(\w+);base64,([^"]+)"', report(tmp_path, results()))
    assert [kind for kind, _ in found] == ["jpeg"] * 4
    assert {Image.open(io.BytesIO(b64decode(data))).size for _, data in found} == {(256, 256)}


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"ap": 480}, "'student.ap' must be a percentage from 0 to 100, not 480."),
        ({"ap": 48, "ap50": "all"}, "'student.ap50' must be a number of at least 0, not 'all'."),
        ({"ap": 48, "ap_by_class": {"cell": -1}}, "'student.ap_by_class.cell' must be a number of at least 0, not -1."),
    ],
)
def test_malformed(tmp_path: Path, student: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        report(tmp_path, {"task": "detection", "student": student})
    assert str(error.value).endswith(message)


def test_a_teacher_scored_otherwise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'teacher\.ap' is missing"):
        report(tmp_path, {"task": "detection", "student": {"ap": 48}, "teacher": {"miou": 60}})


def test_a_split_without_boxes_has_no_scores(tmp_path: Path) -> None:
    html = report(tmp_path, {"task": "detection", "student": scores(20.0) | {"ap": None}})
    assert "The student has not been evaluated yet." in plain(html)
