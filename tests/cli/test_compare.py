"""The command compare, on runs of two methods and two seeds that are really trained."""

import errno
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_data import make_folder, tiny_recipe

import densekd
from densekd.run import image_scores
from densekd.run.image_scores import NAME, read_image_scores
from densekd.seal import write_document


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CWD and pixel, two seeds each; the second seed of CWD has the student alone beside it, as has the first."""
    folder = tmp_path_factory.mktemp("compared")
    recipe = tiny_recipe(make_folder(folder / "data", {"train": 4, "val": 5}))
    recipe["teacher"] = {
        "model": "fpn",
        "options": {"backbone": "resnet18_025", "channels": 16},
        "checkpoint": "untrained",
    }
    recipe["training"] |= {"steps": 3, "validate_every": 1, "log_every": 1}
    for method in ("cwd", "pixel"):
        for seed in (0, 1):
            content = recipe | {"name": f"{method}-{seed}", "distill": [{"method": method, "weight": 1}]}
            content["training"] = recipe["training"] | {"seed": seed}
            if method == "cwd":
                content["baseline"] = "train"
            densekd.train(content, folder / "runs" / content["name"], accelerator="cpu")
    return folder / "runs"


def test_groups_seeds_and_pairs(runs: Path, run: Any, tmp_path: Path) -> None:
    status, printed = run("compare", runs, "--json", tmp_path / "out.json", "--html", tmp_path / "page.html")
    assert status == 0, printed
    rows = {row["group"]: row for row in json.loads((tmp_path / "out.json").read_text())}
    assert set(rows) == {"alone", "cwd", "pixel"}
    assert rows["cwd"]["seeds"] == [0, 1]
    assert rows["alone"]["seeds"] == [0, 1]
    assert rows["alone"]["difference"] is None
    # The difference is that of the scores themselves, its interval around it.
    results = [json.loads((runs / f"cwd-{seed}" / "results.json").read_text()) for seed in (0, 1)]
    expected = sum(one["student"]["miou"] - one["baseline"]["miou"] for one in results) / 2
    difference = rows["cwd"]["difference"]
    assert difference["value"] == pytest.approx(expected, abs=1e-9)
    assert difference["basis"] == "seeds and images"
    assert difference["low"] <= difference["value"] <= difference["high"]
    page = (tmp_path / "page.html").read_text()
    assert page.count('role="tab"') == 3
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    # The same page is replaced, another file is not.
    assert run("compare", runs, "--html", tmp_path / "page.html")[0] == 0
    (tmp_path / "mine.html").write_text("mine")
    status, printed = run("compare", runs, "--html", tmp_path / "mine.html")
    assert status == 1
    assert "did not write" in printed


def test_the_teacher_of_another_run_is_not_what_ships(runs: Path, run: Any, tmp_path: Path) -> None:
    best = run("compare", runs)[1].splitlines()[-1].split()[3]
    shutil.copytree(runs / "cwd-0", tmp_path / "taught", ignore=shutil.ignore_patterns("baseline"))
    recipe = yaml.safe_load((tmp_path / "taught" / "recipe.yaml").read_text())
    recipe["teacher"] = {"checkpoint": best}
    (tmp_path / "taught" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run("compare", best, tmp_path / "taught")[1].splitlines()[-1].split()[3] != best


def test_a_teacher_is_no_student_alone(runs: Path, run: Any, tmp_path: Path) -> None:
    shutil.copytree(runs / "cwd-0", tmp_path / "taught")
    shutil.copytree(runs / "cwd-1" / "baseline", tmp_path / "a-teacher")
    recipe = yaml.safe_load((tmp_path / "taught" / "recipe.yaml").read_text())
    recipe["teacher"] = {"checkpoint": str(tmp_path / "a-teacher")}
    (tmp_path / "taught" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    status, printed = run("compare", tmp_path, "--json", tmp_path / "out.json")
    assert status == 0, printed
    rows = {row["group"]: row for row in json.loads((tmp_path / "out.json").read_text())}
    assert set(rows) == {"alone", "cwd", "teacher"}
    assert rows["alone"]["difference"] is None


def test_scores_of_images_add_up_to_the_score(runs: Path) -> None:
    found = read_image_scores(runs / "cwd-0")
    assert set(found) == {"student", "baseline", "teacher"}
    results = json.loads((runs / "cwd-0" / "results.json").read_text())
    for name, parts in found.items():
        hits, labelled, predicted = parts.sum(0).double()
        union = labelled + predicted - hits
        iou = (hits / union)[union > 0]
        assert 100 * iou.mean().item() == pytest.approx(results[name]["miou"], abs=1e-9)


def test_runs_of_other_data_are_marked_or_refused(runs: Path, run: Any, tmp_path: Path) -> None:
    recipe = yaml.safe_load((runs / "cwd-0" / "recipe.yaml").read_text())
    other = make_folder(tmp_path / "data", {"train": 4, "val": 3})
    recipe |= {"name": "other", "baseline": None}
    recipe["data"]["root"] = str(other)
    densekd.train(recipe, tmp_path / "other", accelerator="cpu")
    status, printed = run("compare", runs, tmp_path / "other")
    assert status == 0
    assert "not comparable: other data" in printed
    status, printed = run("compare", runs, tmp_path / "other", "--strict")
    assert status == 1
    assert "cannot be compared" in printed


def test_what_is_no_run_is_refused(runs: Path, run: Any, tmp_path: Path) -> None:
    assert "no such run folder" in run("compare", tmp_path / "nowhere")[1]
    assert "no run in it" in run("compare", tmp_path)[1]
    printed = run("compare", runs, "--baseline", "mgd")[1].replace("\n", " ")
    assert "no such group; there is cwd, alone, pixel" in printed
    copy = tmp_path / "copy"
    shutil.copytree(runs / "pixel-0", copy)
    content = bytearray((copy / NAME).read_bytes())
    content[-1] ^= 1
    (copy / NAME).write_bytes(content)
    status, printed = run("compare", copy)
    assert status == 1
    assert NAME in printed
    (copy / "results.json").write_text('{"task": "segmentation"}')
    assert "results.json: is not what a training writes (KeyError('metrics'))" in run("compare", copy)[1]
    (copy / "results.json").unlink()
    assert "not finished" in run("compare", copy)[1]


def test_a_group_can_be_the_baseline(runs: Path, run: Any, tmp_path: Path) -> None:
    status, _ = run("compare", runs, "--baseline", "pixel", "--json", tmp_path / "out.json")
    assert status == 0
    rows = {row["group"]: row for row in json.loads((tmp_path / "out.json").read_text())}
    assert rows["pixel"]["difference"] is None
    assert rows["cwd"]["difference"]["value"] == pytest.approx(
        rows["cwd"]["score"]["value"] - rows["pixel"]["score"]["value"]
    )


def test_milliseconds_of_the_trainings_or_of_a_later_benchmark(runs: Path, run: Any, tmp_path: Path) -> None:
    assert run("compare", runs, "--json", tmp_path / "out.json")[0] == 0
    rows = {row["group"]: row for row in json.loads((tmp_path / "out.json").read_text())}
    measured = json.loads((runs / "cwd-0" / "results.json").read_text())["latency"]["milliseconds"]
    assert rows["cwd"]["milliseconds"] == measured["student"] > 0
    assert rows["alone"]["milliseconds"] == measured["baseline"] > 0
    # Rows of eager PyTorch count, of a run or its package; an artefact's is another engine's.
    row = {"engine": "PyTorch", "parameters": 10, "p95_ms": 9.0}
    later = [
        row | {"model": str(runs / "cwd-0"), "median_ms": 4.5},
        row | {"model": str(runs / "pixel-0" / "student"), "median_ms": 5.5},
        row | {"model": str(runs / "cwd-0" / "export" / "onnx-fp32"), "parameters": None, "median_ms": 1.0},
    ]
    (tmp_path / "latency.json").write_text(json.dumps(later))
    status, printed = run("compare", runs, "--latency", tmp_path / "latency.json", "--json", tmp_path / "out.json")
    assert status == 0, printed
    rows = {row["group"]: row for row in json.loads((tmp_path / "out.json").read_text())}
    assert {name: row["milliseconds"] for name, row in rows.items()} == {"cwd": 4.5, "pixel": 5.5, "alone": None}
    (tmp_path / "latency.json").write_text(json.dumps(later[2:]))
    status, printed = run("compare", runs, "--latency", tmp_path / "latency.json")
    assert status == 1
    assert "measured none of these runs" in printed
    for wrong in ({"student": 1}, [later[0] | {"median_ms": -3}], [later[0] | {"median_ms": math.nan}]):
        (tmp_path / "latency.json").write_text(json.dumps(wrong))
        printed = run("compare", runs, "--latency", tmp_path / "latency.json")[1]
        assert "is not what 'densekd benchmark --json' writes" in printed
    assert "no such file" in run("compare", runs, "--latency", tmp_path / "nothing.json")[1]


def read_only(tensors: Any, path: Path) -> None:
    raise OSError(errno.EROFS, "Read-only file system", str(path))


def test_evaluate_writes_the_scores_of_images_that_a_run_lacks(
    runs: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs / "pixel-0", tmp_path / "pixel-0")
    shutil.copytree(runs / "cwd-0", tmp_path / "cwd-0")
    before = {name: read_image_scores(runs / name) for name in ("pixel-0", "cwd-0")}
    for name in before:
        (tmp_path / name / NAME).unlink()
    shutil.copytree(runs / "cwd-1", tmp_path / "cwd-1")
    status, printed = run("compare", tmp_path)
    assert status == 0
    assert f"{tmp_path / 'pixel-0'}: no scores of each image; densekd evaluate" in printed
    # Of other settings nothing is kept.
    assert run("evaluate", tmp_path / "pixel-0", "flip=horizontal")[0] == 0
    assert not (tmp_path / "pixel-0" / NAME).exists()
    for name in ("pixel-0", "cwd-0", "cwd-0/baseline"):
        status, printed = run("evaluate", tmp_path / name)
        assert "by which 'densekd compare' pairs runs" in printed
    after = {name: read_image_scores(tmp_path / name) for name in before}
    assert after["pixel-0"].keys() == {"student"}
    assert after["cwd-0"].keys() == {"student", "baseline"}
    for name, found in after.items():
        assert all(tensor.equal(before[name][role]) for role, tensor in found.items())
    assert "pairs runs" not in run("evaluate", tmp_path / "pixel-0")[1]
    assert "no scores of each image" not in run("compare", tmp_path)[1]
    # Data that is another by now has other scores, which pair with nothing.
    results = json.loads((tmp_path / "pixel-0" / "results.json").read_text())
    results["student"]["miou"] += 1
    del results["checksums"]
    write_document(tmp_path / "pixel-0" / "results.json", results)
    (tmp_path / "pixel-0" / NAME).unlink()
    assert "the score is not that of" in run("evaluate", tmp_path / "pixel-0")[1]
    assert not (tmp_path / "pixel-0" / NAME).exists()
    # Where the file cannot be written, the scores are shown all the same.
    monkeypatch.setattr(image_scores, "save_tensors", read_only)
    (tmp_path / "cwd-0" / NAME).unlink()
    status, printed = run("evaluate", tmp_path / "cwd-0")
    assert status == 0
    assert "mIoU" in printed
    assert "scores of each image are not kept" in printed


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_in_a_browser(width: int, runs: Path, run: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run("compare", runs, "--html", page)[0] == 0
    # A policy that let the script not run would leave every prediction visible.
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    dumped = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=90, check=True
    )
    figures = re.findall(r"<figure data-model=\"(\w+)\"( hidden=\"\")?>", dumped.stdout)
    assert {name for name, hidden in figures if not hidden} == {"alone"}
    assert {name for name, hidden in figures if hidden} == {"cwd", "pixel"}
