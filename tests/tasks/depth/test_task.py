"""Depth as a task: a step, terms that fit and terms that do not, whole trainings, and every command."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_depth import depth_recipe, make_depth
from tiny_hf import save_depth
from training_runs import StopAt, assert_same, losses, parsed, run
from typer.testing import CliRunner

import densekd
from densekd.builders.build import build
from densekd.cli.app import app
from densekd.data.sampler import Draw
from densekd.errors import RecipeError, UserError
from densekd.recipe import parse_recipe
from densekd.run.preflight import check
from densekd.stopping import Interrupted
from densekd.tasks import Depth
from densekd.terminal import Terminal

OF_LABELS: dict[str, dict[str, Any]] = {
    "dkd": {},
    "ifvd": {"student": "pre_logits", "teacher": "pre_logits"},
    "wsld": {},
    "cirkd_memory": {"student": "pre_logits", "teacher": "pre_logits"},
    "pixel": {"options": {"void": "masked"}},
}


@pytest.fixture(scope="module")
def depth_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_depth(tmp_path_factory.mktemp("depth"), {"train": 6, "val": 3})


@pytest.fixture
def content(depth_root: Path) -> dict[str, Any]:
    return depth_recipe(depth_root)


@pytest.fixture
def distilled(content: dict[str, Any]) -> dict[str, Any]:
    """A teacher of the same kind, compared by its maps and by its features."""
    content["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_025"}, "checkpoint": "untrained"}
    content["distill"] = [
        {"method": "l1", "weight": 1},
        {"method": "l2", "weight": 1, "resize_to": "label", "options": {"normalize": "none", "reduction": "element"}},
        {"method": "pkd", "weight": 1, "student": "features.{1,2}", "teacher": "features.{1,2}", "adapter": "conv"},
    ]
    return content


def test_a_step(distilled: dict[str, Any]) -> None:
    distilled["augment"] |= {"scale": [0.5, 0.5], "flip": 0}
    built = build(parsed(distilled))
    assert isinstance(built.distiller.task, Depth)
    batch = built.training.collate([built.training[Draw(k, k)] for k in range(3)])
    # Scaled to 16 x 24 and padded to 32 x 32: what was added was not measured.
    assert batch["target"].dtype == torch.float32
    assert not batch["target"][:, 16:].any()
    assert not batch["target"][:, :, 24:].any()
    assert batch["target"].max() < 10
    result = built.distiller.training_step(batch, 0)
    names = {"task/ssi", "task/gradient", "distill/l1", "distill/l2", "distill/pkd-0", "distill/pkd-1"}
    assert set(result["losses"]) == names
    assert all(value > 0 for value in result["losses"].values())
    result["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in built.distiller.student.parameters())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"align": "least_squares", "predicts": "depth", "scales": 2}, {"task/ssi", "task/gradient"}),
        ({"gradient_weight": 0, "trim": 0.0}, {"task/ssi"}),
    ],
)
def test_options(content: dict[str, Any], options: dict[str, Any], names: set[str]) -> None:
    content["task"] |= options
    built = build(parsed(content))
    batch = built.training.collate([built.training[Draw(k, k)] for k in range(2)])
    assert set(built.distiller.training_step(batch, 0)["losses"]) == names
    assert built.package.task_options == {"predicts": options.get("predicts", "inverse"), "unit": "m"}


@pytest.mark.parametrize("method", OF_LABELS)
def test_what_learns_from_class_labels_says_so(distilled: dict[str, Any], method: str) -> None:
    distilled["distill"] = [{"method": method, "weight": 1, "adapter": "conv", **OF_LABELS[method]}]
    with pytest.raises(
        RecipeError, match=r"needs labels .* the target is a map of torch\.float32 values, not of class"
    ):
        build(parsed(distilled))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"augment": {}}, r"augment\.crop: missing"),
        ({"task": {"kind": "segmentation"}}, r"has depth maps; say 'task: \{kind: depth\}'"),
        ({"task": {"kind": "depth", "align": "mean"}}, r"task\.align: one of median, least_squares"),
        ({"evaluation": {"align": "shift"}}, r"evaluation\.align: one of scale_and_shift, scale, none"),
        ({"evaluation": {"max_depth": 0}}, r"evaluation\.max_depth"),
    ],
)
def test_what_does_not_fit_is_said(content: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(parse_recipe(content | change, "test"))


def test_a_training(distilled: dict[str, Any], tmp_path: Path) -> None:
    distilled["baseline"] = "train"
    distilled["training"] |= {"steps": 40, "validate_every": 10, "export": "best"}
    results = run(parsed(distilled), tmp_path / "run")
    assert results["task"] == "depth"
    assert results["student"]["absrel"] < 0.6
    assert -1 <= results["student"]["correlation"] <= 1
    assert set(results["palette"]) == {"near", "middle", "far", "not measured"}
    validated = [float(row["val/absrel"]) for row in losses(tmp_path / "run") if row["val/absrel"]]
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 10 * (1 + int(np.argmin(validated)))
    # What is exported is the best, so it scores what its validation scored.
    assert results["student"]["absrel"] == pytest.approx(min(validated), rel=1e-3)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8").replace("\xa0", " ")
    for words in ("AbsRel", "RMSE, m", "lower is better", "Validation AbsRel", "not measured", "delta1, %"):
        assert words in page
    assert "mIoU" not in page
    kinds = ("image", "truth", "student", "student-errors", "teacher", "baseline")
    assert all((tmp_path / "run" / "predictions" / f"000.{kind}.png").is_file() for kind in kinds)


def test_resume_is_exact(distilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distilled["training"] |= {"precision": "bf16", "validate_every": 2}
    recipe = parsed(distilled)
    run(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, 3, signal.SIGTERM)
        with pytest.raises(Interrupted):
            run(recipe, tmp_path / "parts")
    run(recipe, tmp_path / "parts", "resume")
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_the_teachers_cache(distilled: dict[str, Any], tmp_path: Path) -> None:
    distilled["teacher"]["cache"] = {"folder": str(tmp_path / "cache"), "views": 2, "dtype": "fp32"}
    distilled["training"]["steps"] = 2
    run(parsed(distilled), tmp_path / "run")
    assert [row["step"] for row in losses(tmp_path / "run") if row["distill/l1"]] == ["2"]


@pytest.mark.parametrize(
    "student",
    [
        {"model": "segformer", "options": {"backbone": "mit_b0", "channels": 32}},
        {"model": "fpn", "options": {"backbone": "mobilenetv3_small_050", "channels": 16}},
    ],
    ids=["segformer", "fpn"],
)
def test_a_teacher_from_transformers(content: dict[str, Any], student: dict[str, Any], tmp_path: Path) -> None:
    save_depth("depth_anything", tmp_path / "teacher")
    content["student"] = student
    content["teacher"] = {"model": f"hf:{tmp_path / 'teacher'}"}
    content["distill"] = [
        {"method": "l1", "weight": 1, "resize_to": "teacher"},
        {"method": "fitnet", "weight": 1, "student": "features.3", "teacher": "features.3", "adapter": "conv",
         "resize_to": "student"},
    ]  # fmt: skip
    content["training"]["steps"] = 2
    results = run(parsed(content), tmp_path / "run")
    assert results["teacher"]["absrel"] > 0
    assert "correlation" in results["student"]


def test_images_without_depths(content: dict[str, Any], depth_root: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "images").symlink_to(depth_root / "images")
    content["data"]["root"] = str(tmp_path / "pictures")
    with pytest.raises(RecipeError, match=r"these images have no labels; say 'task: \{kind: none\}'"):
        build(parsed(content))
    save_depth("depth_anything", tmp_path / "teacher")
    content["task"] = {"kind": "none"}
    content["teacher"] = {"model": f"hf:{tmp_path / 'teacher'}"}
    content["distill"] = [{"method": "l1", "weight": 1, "resize_to": "teacher"}]
    results = run(parsed(content), tmp_path / "run")
    assert results["student"]["absrel"] is None
    assert results["task"] == "depth"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "follows the teacher&#39;s maps with a correlation of" in page
    assert (tmp_path / "run" / "predictions" / "000.student.png").is_file()


@pytest.fixture(scope="module")
def trained(depth_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    run(parsed(depth_recipe(depth_root)), folder)
    return folder


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_evaluate(trained: Path, depth_root: Path, tmp_path: Path) -> None:
    assert "AbsRel" in command("evaluate", trained, "--json", tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text())
    expected = json.loads((trained / "results.json").read_text())["student"]
    assert scores["task"] == "depth"
    # Float32 maps are aligned by sums, whose last digits depend on how many threads add them.
    assert scores["absrel"] == pytest.approx(expected["absrel"], rel=1e-6)
    assert scores["rmse"] == pytest.approx(expected["rmse"], rel=1e-6)
    command(
        "evaluate",
        trained / "student",
        "align=scale",
        "--data",
        depth_root,
        "--split",
        "train",
        "--json",
        tmp_path / "s",
    )
    other = json.loads((tmp_path / "s").read_text())
    assert (other["images"], other["split"]) == (6, "train")


def test_predict(trained: Path, depth_root: Path, tmp_path: Path) -> None:
    command("predict", trained, depth_root / "images" / "val", "--out", tmp_path)
    kept = {"predicted.jsonl", "predicted-by.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"depth", "overlays", "ranges.json", *kept}
    stored = np.array(Image.open(tmp_path / "depth" / "001.png"))
    assert stored.dtype == np.uint16
    assert (stored.min(), stored.max()) == (0, 65535)
    found = json.loads((tmp_path / "ranges.json").read_text())
    assert found["quantity"] == "inverse"
    low, high = found["ranges"]["001"]
    image = np.array(Image.open(depth_root / "images" / "val" / "001.png"))
    values = densekd.predict(trained, image)
    assert values.shape == (32, 48)
    assert np.abs(low + stored / 65535 * (high - low) - values).max() <= (high - low) / 65535
    with Image.open(tmp_path / "overlays" / "001.png") as overlay:
        assert (overlay.mode, overlay.size) == ("RGB", (48, 32))


def test_inspect(trained: Path) -> None:
    assert "[1, 1, 8, 8]" in command("inspect", trained, "--size", "32x32")


def test_a_submission_is_refused(trained: Path, depth_root: Path, tmp_path: Path) -> None:
    arguments = ["predict", trained, depth_root / "images" / "val", "--out", tmp_path, "--submission", "voc"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "voc wants labelled pixels, and the model estimates depth" in str(result.exception)


def test_data_check(content: dict[str, Any], depth_root: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(content))
    command("data", "check", tmp_path / "recipe.yaml", "--workers", 2, "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["fails"] is False
    assert report["problems"] == []
    train = report["splits"]["train"]
    assert train["pixels"] == {"measured": 6 * (32 * 48 - 4), "not measured": 24}
    assert sum(train["depths"].values()) == train["pixels"]["measured"]
    assert train["depths"]["to 10 m"] > 0


def test_data_check_finds_what_is_odd(content: dict[str, Any], tmp_path: Path) -> None:
    root = make_depth(tmp_path / "data", {"train": 3, "val": 1})
    Image.fromarray(np.zeros((32, 48), np.uint16)).save(root / "depth/train/000.png")
    Image.fromarray(np.full((32, 48), 7, np.uint16)).save(root / "depth/train/001.png")
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(root / "depth/train/002.png")
    content["data"]["root"] = str(root)
    (tmp_path / "recipe.yaml").write_text(json.dumps(content))
    arguments = [
        "data",
        "check",
        str(tmp_path / "recipe.yaml"),
        "--workers",
        "0",
        "--json",
        str(tmp_path / "report.json"),
    ]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    problems = json.loads((tmp_path / "report.json").read_text())["problems"]
    assert [problem["what"][:30] for problem in problems if problem["split"] == "train"] == [
        "no depth was measured, nothing",
        "all depths are equal, nothing ",
        f"{root}/images/train/002.png is"[:30],
    ]


def test_a_recipe_is_tried(distilled: dict[str, Any]) -> None:
    console = Terminal(width=200, record=True)
    console.print(check(parsed(distilled)))
    text = console.export_text()
    assert "teacher's AbsRel" in text
    assert "task/ssi" in text


def test_depths_by_the_python_api(depth_root: Path) -> None:
    from densekd.data.depth import depth

    files = depth(depth_root, "train")
    images = torch.stack([torch.from_numpy(files.image(k)).permute(2, 0, 1) for k in range(4)])
    depths = torch.stack([torch.from_numpy(files.depth(k)) for k in range(4)])
    student = build(parsed(depth_recipe(depth_root))).distiller.student
    scores = densekd.evaluate(student, [(images, depths)], task="depth")
    assert scores["absrel"] > 0
