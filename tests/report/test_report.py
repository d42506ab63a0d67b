import ast
import base64
import io
import json
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from densekd.report import write_report

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
PALETTE = {"sky": [128, 128, 128], "building": [128, 0, 0], "pole": [192, 192, 128]}


TASK: dict[str, Any] = {"task": "segmentation"}


def scores(miou: float, **more: Any) -> dict[str, Any]:
    iou = {"sky": miou + 20, "building": miou - 10, "pole": None}
    return {"miou": miou, "macc": miou + 9.25, "aacc": 88.8, "iou": iou, "images": 101, **more}


def results(student: float, baseline: float | None, teacher: float | None) -> dict[str, Any]:
    models = {"student": student, "baseline": baseline, "teacher": teacher}
    return {
        "task": "segmentation",
        "split": "val",
        "palette": PALETTE,
        **{name: None if miou is None else scores(miou) for name, miou in models.items()},
    }


def report(folder: Path, document: object) -> str:
    (folder / "results.json").write_text(json.dumps(document))
    return written(folder)


def written(folder: Path) -> str:
    path = write_report(folder)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def plain(html: str) -> str:
    """Text as a reader sees it, on one line; scripts and styles never appear in it."""
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def headline(html: str) -> str:
    found = re.search(r'<p class="headline">(.*?)</p>', html, re.DOTALL)
    assert found
    return plain(found[1])


def table(html: str, kind: str) -> list[list[str]]:
    found = re.search(rf'<table class="{kind}">(.*?)</table>', html, re.DOTALL)
    assert found
    rows = re.findall(r"<tr.*?</tr>", found[1], re.DOTALL)
    return [[plain(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows]


def embedded(html: str) -> dict[str, Image.Image]:
    found = re.findall(r'<img src="data:image/(\w+);base64,([^"]+)"[^>]* alt="([^"]+)"', html)
    return {f"{alt} as {kind}": Image.open(io.BytesIO(base64.b64decode(data))) for kind, data, alt in found}


ALONE = "the same student trained alone"


@pytest.mark.parametrize(
    ("student", "baseline", "teacher", "sentence"),
    [
        (48.0, 40.9, 54.9, f": 7.1 points above {ALONE}, and recovers 51 % of the gap to the teacher."),
        (39.7, 40.9, 54.9, f": 1.2 points below {ALONE}. The gap to the teacher grew from 14.0 to 15.2 points."),
        (40.93, 40.9, 54.9, f": level with {ALONE}, and recovers none of the gap to the teacher."),
        (54.9, 40.9, 54.9, f": 14.0 points above {ALONE}, and recovers 100 % of the gap to the teacher."),
        (56.0, 40.9, 54.9, f": 15.1 points above {ALONE}, and 1.1 points above the teacher."),
        (48.0, 40.9, 40.0, f": 7.1 points above {ALONE}. The teacher, at 40.0 %, is no better than the student alone: "
                           "there is no gap to recover."),
        (48.0, 40.9, None, f": 7.1 points above {ALONE}."),
        (48.0, None, 54.9, f": 6.9 points below the teacher. Without {ALONE}, what distillation added is unknown."),
        (48.0, None, None, ". There is neither a baseline nor a teacher to compare it with."),
    ],
)  # fmt: skip
def test_headline(tmp_path: Path, student: float, baseline: float | None, teacher: float | None, sentence: str) -> None:
    html = report(tmp_path, results(student, baseline, teacher))
    assert headline(html) == f"The distilled student scores {student:.1f} % mIoU{sentence}"


def test_scores_and_differences_equal_the_file(tmp_path: Path) -> None:
    document = results(48.0, 40.9, 54.9)
    document["teacher"] |= {"parameters": 47_300_000, "flops": 1.8e11, "aacc": 91.04}
    document["student"] |= {"parameters": 999_960, "macc": 50.0}
    html = report(tmp_path, document)
    assert table(html, "scores")[1:] == [
        ["teacher", "54.9", "+14.0", "64.2", "+14.0", "91.0", "+2.2", "47.3 M", "180 G"],
        ["alone", "40.9", "", "50.1", "", "88.8", "", DASH, DASH],
        ["distilled", "48.0", "+7.1", "50.0", f"{MINUS}0.1", "88.8", "0.0", "1.0 M", DASH],
    ]
    assert "It has 1.0 M parameters, 2 % of the 47.3 M that the teacher has." in plain(html)
    assert "Scored on 101 images of the val split." in plain(html)


def test_milliseconds_stand_beside_parameters(tmp_path: Path) -> None:
    document = results(48.0, None, 54.9)
    measured = {"size": [64, 96], "device": "cpu", "hardware": "EPYC", "threads": 2, "runs": 10}
    html = report(tmp_path, document | {"latency": measured | {"milliseconds": {"student": 3.14, "teacher": 20.5}}})
    rows = table(html, "scores")
    assert [rows[0][-1], rows[1][-1], rows[2][-1]] == ["ms", "20.5", "3.14"]
    assert "On this machine (EPYC, 2 threads, PyTorch, median of 10) one picture of 64 x 96 takes" in plain(html)


def test_scores_on_different_images_are_called_unlike(tmp_path: Path) -> None:
    document = results(48.0, 40.9, 54.9)
    document["teacher"]["images"] = 12_000
    text = plain(report(tmp_path, document))
    assert "teacher on 12 000, alone on 101, distilled on 101. The differences are not like for like." in text


def package(folder: Path, size: int) -> None:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(size - 2))
    (folder / "config.json").write_text("{}")


def test_the_size_on_disk_and_how_to_use_the_student(tmp_path: Path) -> None:
    run = tmp_path / "my runs" / "a'b"
    package(run / "student", 3_100_000)
    package(run / "baseline" / "student", 3_200_000)
    document = results(48.0, 40.9, 54.9)
    document["teacher"] |= {"parameters": 47_300_000}
    html = report(run, document)
    assert [row[-1] for row in table(html, "scores")] == ["MB", "189", "3.20", "3.10"]
    assert "MB: files of the package; of the teacher, 4 bytes a parameter." in plain(html)
    python, predict, export = [unescape(found) for found in re.findall(r"<pre>(.*?)</pre>", html, re.DOTALL)]
    # Three lines that Python reads, and commands that a shell splits as they are meant.
    loaded, found = ast.parse(python).body[1:]
    assert ast.unparse(loaded) == f"model = densekd.load({run.as_posix()!r})"
    assert ast.unparse(found) == "found = model.predict('picture.jpg')"
    assert shlex.split(predict) == ["densekd", "predict", run.as_posix(), "pictures/"]
    assert shlex.split(export)[:3] == ["densekd", "export", run.as_posix()]


def test_without_a_package_nothing_is_promised(tmp_path: Path) -> None:
    html = report(tmp_path, results(48.0, 40.9, 54.9))
    assert "Use it" not in plain(html)
    assert "MB" not in plain(html)


def test_verdict_then_pictures_then_curves(tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "predictions" / "a.truth.png")
    (tmp_path / "metrics.csv").write_text("step,loss,distill/cwd,lr,val/miou\n1,2,1,0.1,\n2,1,1,0.1,40\n")
    (tmp_path / "confusion.svg").write_text("<svg/>")
    package(tmp_path / "student", 10)
    document = results(48.0, 40.9, 54.9)
    document["figures"] = [{"file": "confusion.svg", "title": "Confusion matrix", "description": "Rows: labels."}]
    html = report(tmp_path, document)
    titles = [plain(title) for title in re.findall(r"<h2.*?</h2>", html)]
    assert titles == ["Verdict", "Pictures", "Training", "Classes", "Confusion matrix", "Use it"]
    # The legend stands open above the first picture.
    assert html.index('<details class="palette" open>') < html.index('alt="ground truth of a"')
    # Charts that decide nothing are folded away.
    folded = html.index("1 more: Learning rate")
    shown = [html.index(f">{name}</title>") for name in ("Validation mIoU", "Total loss", "Distillation term: cwd")]
    assert max(shown) < folded < html.index(">Learning rate</title>")


def test_classes(tmp_path: Path) -> None:
    document = results(48.0, 40.9, 54.9)
    document["student"]["iou"]["building"] = 30.0
    html = report(tmp_path, document)
    assert table(html, "classes") == [
        ["Class", "IoU, %", "distilled", "alone", "Δ", "teacher"],
        ["sky", "", "68.0", "60.9", "+7.1", "74.9"],
        ["building", "", "30.0", "30.9", f"{MINUS}0.9", "44.9"],
        ["pole", "", DASH, DASH, "", DASH],
    ]
    assert f"{DASH}: not in the data." in plain(html)
    assert "1 of 2 classes score higher than alone" in plain(html)
    assert f"sky gains most (+7.1), building loses most ({MINUS}0.9)." in plain(html)
    assert 'style="background:rgb(192,192,128)"' in html
    bars = [ElementTree.fromstring(svg) for svg in re.findall(r'<svg class="bar".*?</svg>', html, re.DOTALL)]
    drawn = [[(one.get("class"), one.get("x") or one.get("width")) for one in bar] for bar in bars]
    assert drawn[0] == [("student", "68.0%"), ("teacher", "74.9%"), ("baseline", "60.9%")]
    assert drawn[2] == []


def test_a_student_alone_has_no_columns_of_others(tmp_path: Path) -> None:
    html = report(tmp_path, TASK | {"student": {"miou": 48, "iou": {"sky": 48}}})
    assert table(html, "scores")[1:] == [["distilled", "48.0", "", DASH, "", DASH, "", DASH]]
    assert table(html, "classes") == [["Class", "IoU, %", "distilled"], ["sky", "", "48.0"]]
    assert "not in the data" not in plain(html)
    html = report(tmp_path, TASK | {"student": {"miou": 48, "iou": {"sky": 48}}, "teacher": {"miou": 60}})
    assert table(html, "classes")[0] == ["Class", "IoU, %", "distilled"]


def test_everything_from_the_run_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('&\"')</script>"
    folder = tmp_path / "<b>run"
    folder.mkdir()
    (folder / "metrics.csv").write_text("step,distill/<script>\n0,1\n1,2\n")
    (folder / "recipe.yaml").write_text(f"name: {evil}\n")
    (folder / "environment.json").write_text(json.dumps({evil: {"key": evil}}))
    student = {"miou": 1, "iou": {evil: 1.0}, "images": 2}
    document = TASK | {"split": evil, "student": student, "palette": {evil: [1, 2, 3]}}
    html = report(folder, document)
    assert "<script" not in html
    assert "<b>run" not in html
    assert table(html, "classes")[1][0] == evil
    assert table(html, "environment") == [[f"{evil}.key", evil]]
    assert '<title id="chart-1-title">Distillation term: &lt;script&gt;</title>' in html


def test_pictures_are_embedded_and_labels_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    folder.mkdir()
    labels = Image.new("RGB", (40, 30), (128, 0, 0))
    labels.paste((192, 192, 128), (3, 4, 20, 21))
    ramp = Image.linear_gradient("L")
    gradient = Image.merge("RGB", [ramp, ramp.rotate(90), ramp])
    labels.save(folder / "a.b.truth.png")
    gradient.save(folder / "a.b.student.png")
    Image.new("RGB", (2048, 1000), (9, 9, 9)).save(folder / "a.b.image.png")
    (folder / "c.truth.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (folder / "notes.png").write_bytes(b"no sample")
    html = report(tmp_path, results(48.0, None, None))
    images = embedded(html)
    assert list(images) == ["image of a.b as jpeg", "ground truth of a.b as png", "distilled of a.b as png"]
    assert images["image of a.b as jpeg"].size == (1024, 500)
    assert images["ground truth of a.b as png"].mode == "P"
    assert images["ground truth of a.b as png"].convert("RGB").tobytes() == labels.tobytes()
    assert images["distilled of a.b as png"].convert("RGB").tobytes() == gradient.tobytes()
    assert html.count("no picture") == 2
    assert html.count("unreadable file") == 1
    assert "notes" not in html


def test_only_the_first_samples_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    for index in range(14):
        Image.new("RGB", (4, 4)).save(tmp_path / "predictions" / f"{index:02}.truth.png")
    html = report(tmp_path, results(48.0, None, None))
    assert len(embedded(html)) == 12
    assert "The first 12 of 14, by name." in plain(html)


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "predictions" / "a.image.png")
    (tmp_path / "metrics.csv").write_text("step,loss\n0,1\n1,2\n")
    (tmp_path / "recipe.yaml").write_text("url: https://example.org\n")
    html = report(tmp_path, results(48.0, 40.9, 54.9))
    addresses = re.findall(r"""(?:src|href|srcset|action|data)\s*=\s*["']?([^"'\s>]*)""", html)
    assert len(addresses) == 2
    assert all(address.startswith("data:") for address in addresses)
    assert re.findall(r"url\(([^)]*)\)", html) == ["#chart-1-area"]
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_environment_is_flattened_and_a_damaged_one_is_shown(tmp_path: Path) -> None:
    environment = {"versions": {"torch": "2.11.0"}, "git": {"dirty": False, "commit": None}, "command": ["a", 1]}
    (tmp_path / "environment.json").write_text(json.dumps(environment))
    html = report(tmp_path, results(48.0, None, None))
    assert table(html, "environment") == [
        ["versions.torch", "2.11.0"],
        ["git.dirty", "false"],
        ["git.commit", "null"],
        ["command", "a, 1"],
    ]
    (tmp_path / "environment.json").write_text("{half")
    assert table(written(tmp_path), "environment") == [["environment.json is not valid JSON", "{half"]]


def test_a_report_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    html = report(tmp_path, results(48.0, 40.9, 54.9))
    assert html.startswith("<!doctype html>")
    assert written(tmp_path) == html
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "results.json"]


def test_half_a_surrogate_pair_does_not_stop_the_report(tmp_path: Path) -> None:
    html = report(tmp_path, TASK | {"student": {"miou": 1, "iou": {"\ud800": 1}}})
    assert table(html, "classes")[1][0] == "?"


def test_importing_the_report_does_not_import_torch() -> None:
    program = "import sys, densekd.report; print(sorted({'torch', 'lightning', 'numpy'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output == "[]\n"
