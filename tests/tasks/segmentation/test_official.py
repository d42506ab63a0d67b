"""Scores against the official scorers on the same predictions."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from dataset_trees import make_ade20k, make_cityscapes, make_voc
from PIL import Image
from torch import Tensor, nn

from densekd.data.ade20k import ade20k
from densekd.data.cityscapes import cityscapes
from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles
from densekd.data.voc import voc
from densekd.errors import UserError
from densekd.tasks.segmentation import LabelPredictor, Segmentation
from densekd.tasks.segmentation.confusion import ConfusionMatrix

SIZE = (128, 256)


class Random(nn.Module):
    """A fixed random convolution with stride 8: wrong, but always in the same way."""

    def __init__(self, classes: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, classes, 9, 8, 4, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return 5 * self.conv(images - 0.5)


@pytest.fixture
def streets(tmp_path: Path) -> SegmentationFiles:
    return cityscapes(make_cityscapes(tmp_path / "cityscapes", SIZE), "val")


def test_cityscapes_equals_the_official_evaluation(
    streets: SegmentationFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cityscapesscripts")
    root, results = tmp_path / "cityscapes", tmp_path / "results"
    predict = LabelPredictor(Random(19), streets.classes)
    assert predict.write_submission(root / "leftImg8bit" / "val", results, "cityscapes") == 2
    monkeypatch.setenv("CITYSCAPES_DATASET", str(root))
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(results))
    monkeypatch.setenv("CITYSCAPES_EXPORT_DIR", str(tmp_path))
    official: Any = importlib.reload(
        importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    )
    official.args.quiet = True
    official.args.evalInstLevelScore = False
    truth = [str(item.label) for item in streets.items]
    official.evaluateImgLists([official.getPrediction(official.args, path) for path in truth], truth, official.args)
    theirs = json.loads((tmp_path / "resultPixelLevelSemanticLabeling.json").read_text())
    ours = Segmentation(19, 255).scores(Random(19), streets, None)
    assert ours["miou"] == pytest.approx(100 * theirs["averageScoreClasses"], abs=1e-6)
    for name, value in ours["iou"].items():
        expected = theirs["classScores"][name]
        assert (value is None) == bool(np.isnan(expected))
        assert value is None or value == pytest.approx(100 * expected, abs=1e-6)
    assert sum(value is not None and value > 0 for value in ours["iou"].values()) >= 4


@pytest.mark.parametrize("make", ["ade20k", "voc"])
def test_the_others_equal_torchmetrics(tmp_path: Path, make: str) -> None:
    files = ade20k(make_ade20k(tmp_path), "val") if make == "ade20k" else voc(make_voc(tmp_path), "val")
    C = len(files.classes.names)
    model = Random(C)
    predict = LabelPredictor(model, files.classes)
    predicted = torch.from_numpy(np.stack([predict(files.image(k)) for k in range(len(files))])).long()
    labels = torch.from_numpy(np.stack([files.label(k) for k in range(len(files))])).long()
    keep = {"num_classes": C, "ignore_index": 255}
    ours = Segmentation(C, 255).scores(model, files, None)
    matrix = torchmetrics.functional.classification.multiclass_confusion_matrix(predicted, labels, **keep)
    metric = ConfusionMatrix(C, 255)
    metric.update(predicted, labels)
    assert torch.equal(metric.counts, matrix)
    iou = torchmetrics.functional.classification.multiclass_jaccard_index(predicted, labels, average="none", **keep)
    union = matrix.sum(0) + matrix.sum(1) - matrix.diag()
    assert ours["miou"] == pytest.approx(100 * iou[union > 0].double().mean().item(), abs=1e-4)
    accuracy = torchmetrics.functional.classification.multiclass_accuracy(predicted, labels, average="micro", **keep)
    assert ours["aacc"] == pytest.approx(100 * accuracy.item(), abs=1e-4)


@pytest.mark.parametrize(("make", "first"), [("ade20k", 1), ("voc", 0)])
def test_submissions_have_the_servers_values(tmp_path: Path, make: str, first: int) -> None:
    root = make_ade20k(tmp_path) if make == "ade20k" else make_voc(tmp_path)
    files = ade20k(root, "val") if make == "ade20k" else voc(root, "val")
    predict = LabelPredictor(Random(len(files.classes.names)), files.classes)
    predict.write_submission(files.items[0].image.parent, tmp_path / "out", make)
    picture = Image.open(tmp_path / "out" / f"{files.items[0].stem}.png")
    assert np.array_equal(np.array(picture), predict(files.image(0)) + first)
    assert picture.mode == ("P" if make == "voc" else "L")


def test_a_submission_that_no_server_takes_is_refused(streets: SegmentationFiles, tmp_path: Path) -> None:
    images = tmp_path / "cityscapes" / "leftImg8bit" / "val"
    with pytest.raises(UserError, match="The model has 3 classes, cityscapes 19"):
        LabelPredictor(Random(3), Classes(("a", "b", "c"), ())).write_submission(images, tmp_path, "cityscapes")
    with pytest.raises(UserError, match=r"Unknown benchmark 'cityscape'. Did you mean 'cityscapes'"):
        LabelPredictor(Random(19), streets.classes).write_submission(images, tmp_path, "cityscape")
    (tmp_path / "results").mkdir()
    with pytest.raises(UserError, match="no images"):
        LabelPredictor(Random(19), streets.classes).write_submission(tmp_path / "results", tmp_path, "cityscapes")


def test_agreement_of_two_models(streets: SegmentationFiles) -> None:
    one, other, task = Random(19), Random(19, seed=1), Segmentation(19, 255)
    itself = task.agreement(one, one, streets, None)
    assert itself["agreement"] == itself["agreement_miou"] == 100
    found = task.agreement(one, other, streets, None)
    a, b = (
        np.stack([LabelPredictor(model, streets.classes)(streets.image(k)) for k in range(2)]) for model in (one, other)
    )
    valid = np.stack([streets.label(k) for k in range(2)]) != 255
    assert found["agreement"] == pytest.approx(100 * (a == b)[valid].mean())
    assert found["calibration"] is not None
    assert 0 < found["calibration"] < 100
