"""Detectors in a graph: boxes and scores before suppression become the detections that the model itself finds."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_hf
import torch
from dataset_trees import make_coco
from tiny_detectors import tiny_detector

import densekd
from densekd.data.classes import Classes
from densekd.errors import RecipeError
from densekd.export.detectors import decoded, decoding_of
from densekd.export.export import export
from densekd.export.modules import build_module
from densekd.export.spec import GraphInput
from densekd.hardware import cpu_saturates
from densekd.models import find_model
from densekd.models.open import open_model
from densekd.models.package import config_of, save_package
from densekd.quantize import apply_plan, calibrate, make_plan, plan_of
from densekd.recipe import dump_recipe, parse_recipe

OPTIONS = {"backbone": "resnet18_025", "channels": 16, "depth": 1}


def confident(model: Any) -> Any:
    """Make a dense detector sure of many boxes of different places; return it."""
    with torch.no_grad():
        model.head.cls.bias += 4
        model.head.cls.weight *= 20
        if model.head.reg.out_channels == 4 * 17:
            # Distributions of GFL: short distances are likely.
            model.head.reg.bias += -torch.arange(17.0).repeat(4)
    return model


def assert_same_detections(model: Any, size: tuple[int, int], margin: int = 5) -> None:
    taken = GraphInput(size)
    module = build_module(model, "detection", "boxes", taken)
    image = taken.random(1, seed=3)
    inside = torch.tensor([[size[0] - margin, size[1] - margin]])
    with torch.no_grad():
        (wanted,) = model.detect(model(image), inside)
        boxes, scores = module(image)
    found = decoded(boxes[0], scores[0], decoding_of(module.model, image), inside[0])
    assert len(wanted.scores) > 3
    torch.testing.assert_close(found.scores, wanted.scores)
    torch.testing.assert_close(found.boxes, wanted.boxes)
    assert torch.equal(found.labels, wanted.labels)


@pytest.mark.parametrize("name", ["gfl", "retinanet"])
def test_dense_detectors(name: str) -> None:
    assert_same_detections(confident(tiny_detector(name).eval()), (64, 96))


@pytest.mark.parametrize("name", ["detr", "rt_detr"])
def test_sets(name: str, tmp_path: Path) -> None:
    tiny_hf.save(name, 3, tmp_path)
    assert_same_detections(open_model(f"hf:{tmp_path}").model, (64, 96))


def test_two_stages() -> None:
    model = tiny_detector("faster_rcnn").eval()
    with torch.no_grad():
        model.head.box.cls.weight *= 100
    # Its proposals are clipped to the whole input.
    assert_same_detections(model, (64, 96), margin=0)


@pytest.mark.parametrize(
    ("kind", "batch", "message"), [("raw", 1, "second stage"), ("boxes", "dynamic", "one at a time")]
)
def test_two_stages_have_no_raw_maps_and_no_batch(kind: str, batch: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_module(tiny_detector("faster_rcnn").eval(), "detection", kind, GraphInput((64, 64), batch))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GFL with random weights that is nearly right: the truth is what it finds itself."""
    root = tmp_path_factory.mktemp("detector")
    for split in ("train", "val"):
        make_coco(root / "data" / f"instances_{split}.json", root / "data" / split)
    folder = root / "run"
    folder.mkdir()
    content = {
        "name": "tiny",
        "data": {"dataset": "coco", "root": str(root / "data")},
        "augment": {"short_side": [32, 64]},
        "student": {"model": "gfl", "options": OPTIONS},
        "task": {"kind": "detection"},
        "training": {"steps": 1},
    }
    (folder / "recipe.yaml").write_text(dump_recipe(parse_recipe(content, "test")))
    torch.manual_seed(0)
    model = confident(find_model("gfl")(num_classes=2, **OPTIONS).eval())
    annotations = root / "data" / "instances_val.json"
    truth = json.loads(annotations.read_text())
    categories = sorted(truth["categories"], key=lambda category: category["id"])
    names = tuple(category["name"] for category in categories)
    classes = Classes(names, ((200, 0, 0), (0, 200, 0)), 255)
    numbers = tuple(category["id"] for category in categories)
    config = config_of("gfl", OPTIONS, classes, "detection")
    save_package(model, config, folder / "student")
    predict: Any = densekd.load(folder).predict
    truth["annotations"] = []
    for image in truth["images"]:
        found = predict(root / "data" / "val" / image["file_name"])
        # Every other one of the best: it is right half of the time.
        for box, label in list(zip(found.boxes.tolist(), found.labels.tolist(), strict=True))[:20:2]:
            x1, y1, x2, y2 = box
            entry = {"id": len(truth["annotations"]) + 1, "image_id": image["id"], "category_id": numbers[label]}
            area = (x2 - x1) * (y2 - y1)
            truth["annotations"].append(entry | {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "iscrowd": 0})
    annotations.write_text(json.dumps(truth))
    return folder


def test_score_is_that_of_the_evaluation(run: Path) -> None:
    wanted = densekd.evaluate(run)["ap"]
    assert 20 < wanted < 99
    verdicts = export(run, "onnx,openvino")
    for verdict in verdicts:
        assert verdict.status == "verified", verdict.reason
        assert verdict.metric == "AP"
        # Pictures of 64 x 128 fill the input: nothing is resized.
        assert verdict.torch_score == pytest.approx(wanted, abs=0.05)
        assert verdict.engine_score == pytest.approx(wanted, abs=0.1)
        assert len(verdict.drops) == 2
    about = json.loads((run / "export" / "onnx-fp32" / "model.json").read_text())
    assert about["input"]["size"] == [64, 128]
    assert about["decoding"]["nms_iou"] == 0.6
    assert sum(about["decoding"]["levels"]) == about["outputs"][0]["shape"][1]


def test_raw_maps_are_scored_as_well(run: Path) -> None:
    (verdict,) = export(run, "onnx", output="raw", out=run.parent / "raw")
    assert verdict.status == "verified", verdict.reason
    assert verdict.engine_score == pytest.approx(densekd.evaluate(run)["ap"], abs=0.1)
    folder = run.parent / "raw" / "onnx-fp32"
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.onnx"]
    names = [output["name"] for output in json.loads((folder / "model.json").read_text())["outputs"]]
    assert names == [f"{kind}_{k}" for kind in ("cls", "reg") for k in range(5)]


def test_int8_is_scored_in_both_engines(run: Path) -> None:
    """The last layers of both branches and all decoding stay float."""
    pytest.importorskip("nncf")
    verdicts = export(run, "onnx,openvino", precision="int8", allow=100, out=run.parent / "int8")
    for verdict in verdicts:
        assert verdict.status == "verified", verdict.reason
        assert verdict.metric == "AP"
        assert verdict.engine_score is not None
        assert len(verdict.kept_float) >= 2
        assert len(verdict.drops) == 2


def test_a_detector_that_was_trained_in_int8(run: Path) -> None:
    opened = open_model(run / "student")
    model = opened.model
    images = torch.rand(2, 3, 64, 128)
    apply_plan(model, make_plan(model, images[:1]))
    calibrate(model, [images])
    plan = plan_of(model)
    assert plan is not None
    folder = run.parent / "trained"
    save_package(model, replace(opened.config, quantization=plan.entries()), folder)
    (verdict,) = export(folder, "onnx", precision="int8", allow=100, data=run / "recipe.yaml", out=run.parent / "qat")
    assert verdict.status == "verified", verdict.reason
    assert verdict.quantizer == "training"
    assert verdict.difference is not None
    if cpu_saturates():
        pytest.skip("integer products saturate on this processor: the score decides")
    assert verdict.difference <= 1e-4
    assert verdict.drop == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_infer_finds_what_densekd_finds(run: Path, tmp_path: Path, engine: str) -> None:
    export(run, engine, out=tmp_path)
    picture = sorted((run.parent / "data" / "val").iterdir())[0]
    script = tmp_path / f"{engine}-fp32" / "infer.py"
    command = [sys.executable, str(script), str(picture), str(tmp_path / "drawn.png"), "0.05"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found: Any = densekd.load(run).predict(picture)  # type: ignore[operator]
    likely = found.scores >= 0.05
    assert len(lines) == int(likely.sum()) > 5
    # The order of equal scores is nobody's: compare the best by score, boxes by their nearest.
    scores = np.array([line["score"] for line in lines])
    np.testing.assert_allclose(scores, found.scores[likely].numpy(), atol=1e-3)
    boxes = np.array([line["box"] for line in lines])
    np.testing.assert_allclose(boxes[:5], found.boxes[likely].numpy()[:5], atol=0.2)
    assert (tmp_path / "drawn.png").is_file()
