"""The report in a browser: nothing is cut on a phone, and at night nothing is white."""

import json
from pathlib import Path

import numpy as np
import pytest
from browser import evaluate, needs_browser, screenshot
from PIL import Image

from densekd.data.classes import Classes
from densekd.report import write_report
from densekd.tasks.segmentation.confusion_picture import confusion_picture

NAMES = ("road", "traffic light", "motorcycle", "building", "pedestrian crossing")
# Elements that reach beyond the page, or hide a part of their content to the side.
CUT = """
const wide = page.documentElement.clientWidth;
const cut = [];
for (const one of page.querySelectorAll("main *:not(svg *)")) {
  if (one.closest("details:not([open])") && one.tagName !== "SUMMARY") continue;
  const box = one.getBoundingClientRect();
  if (box.right > wide + 1 || box.left < -1) cut.push(one.outerHTML.slice(0, 80));
  if (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible") {
    cut.push("scrolls: " + one.outerHTML.slice(0, 80));
  }
}
return {width: view.innerWidth, beyond: page.documentElement.scrollWidth - wide, cut: cut};
"""
KEYS = """
const reached = [];
for (const one of page.querySelectorAll("summary, [tabindex='0']")) {
  one.focus();
  reached.push(page.activeElement === one);
}
return reached;
"""


def opened(page: Path, folder: Path) -> Path:
    """Return a copy of a report in which all is unfolded."""
    path = folder / "opened.html"
    path.write_text(page.read_text(encoding="utf-8").replace("<details>", "<details open>"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything that a report can have."""
    run = tmp_path_factory.mktemp("run")
    models = {}
    for k, role in enumerate(("teacher", "baseline", "student")):
        iou = {name: 90.0 - 7 * k - n for n, name in enumerate(NAMES)}
        models[role] = {"miou": 80.0 - 7 * k, "macc": 90.0 - k, "aacc": 95.0 - k, "iou": iou, "images": 500}
        models[role] |= {"parameters": 47_300_000 // (1 + 3 * k), "flops": 1.8e11}
    counts = (np.eye(len(NAMES), dtype=int) * 900 + 25).tolist()
    palette = [(40 * k, 90, 200 - 40 * k) for k in range(len(NAMES))]
    figure = confusion_picture(counts, Classes(NAMES, tuple(palette), 255))
    (run / "confusion.svg").write_text(figure.svg)
    measured = {"size": [512, 1024], "device": "cpu", "hardware": "AMD EPYC", "threads": 2, "runs": 10}
    document = {
        "task": "segmentation",
        "split": "val",
        "palette": dict(zip(NAMES, palette, strict=True)),
        "figures": [{"file": "confusion.svg", "title": figure.title, "description": figure.description}],
        "latency": measured | {"milliseconds": {"student": 31.4, "baseline": 31.5, "teacher": 2050.0}},
        **models,
    }
    (run / "results.json").write_text(json.dumps(document))
    (run / "metrics.csv").write_text(
        "step,loss,distill/cwd,lr,val/miou\n1,2,1,0.1,\n20000,1,1,0.1,40\n40000,1,1,0.1,55\n"
    )
    (run / "recipe.yaml").write_text(f"name: {'long' * 60}\n")
    (run / "environment.json").write_text(json.dumps({"command": ["densekd", "x" * 300]}))
    (run / "student").mkdir()
    (run / "student" / "model.safetensors").write_bytes(bytes(1000))
    (run / "predictions").mkdir()
    for kind in ("image", "truth", "teacher", "baseline", "student", "student-errors"):
        Image.new("RGB", (96, 64), (9, 9, 9)).save(run / "predictions" / f"a.{kind}.png")
    return write_report(run)


@needs_browser
@pytest.mark.parametrize("width", [360, 400, 1200])
def test_nothing_is_cut(width: int, page: Path, tmp_path: Path) -> None:
    found = evaluate(opened(page, tmp_path), CUT, width, tmp_path)
    assert found == {"width": width, "beyond": 0, "cut": []}


@needs_browser
def test_the_keyboard_reaches_what_opens_and_scrolls(page: Path, tmp_path: Path) -> None:
    reached = evaluate(opened(page, tmp_path), KEYS, 1200, tmp_path)
    assert len(reached) >= 5
    assert all(reached)


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark(dark: bool, page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    screenshot(page, picture, 1100, 2600, dark)
    with Image.open(picture) as shown:
        pixels = np.asarray(shown.convert("L"))
    # Paper covers most of the page; at night text alone is bright, and no block of it.
    bright, night = (pixels > 225).mean(), (pixels < 40).mean()
    if dark:
        assert night > 0.7
        assert bright < 0.05
    else:
        assert bright > 0.7
