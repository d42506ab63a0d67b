"""Large pictures predicted window by window from their files, and the memory of it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from forked import run_python
from PIL import Image
from torch import nn

from densekd.data import large_images
from densekd.models.classes import unnamed_classes
from densekd.tasks.segmentation import prediction
from densekd.tasks.segmentation.inference import Inference, Window
from densekd.tasks.segmentation.prediction import LabelPredictor

WINDOW = Window((32, 48), (20, 30))


def labeller(inference: Inference) -> LabelPredictor:
    torch.manual_seed(0)
    return LabelPredictor(nn.Conv2d(3, 4, 7, 4, 3), unnamed_classes(4), None, inference)


@pytest.fixture
def tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(large_images, "_LARGE", 1)
    monkeypatch.setattr(prediction, "LONGEST_OVERLAY", 50)
    pixels = np.random.default_rng(0).integers(0, 256, (95, 131, 3), dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", compression="lzw", rowsperstrip=9)
    return path


@pytest.mark.parametrize("flip", ["none", "horizontal"])
def test_a_file_is_labelled_as_its_pixels_are(
    tiff: Path, tmp_path: Path, flip: str, caplog: pytest.LogCaptureFixture
) -> None:
    predict = labeller(Inference(WINDOW, flip=flip))  # type: ignore[arg-type]
    pixels = tifffile.imread(tiff)
    label = predict(pixels)
    assert len(np.unique(label)) > 1
    assert predict.predict_folder(tiff, tmp_path / "out") == 1
    with Image.open(tmp_path / "out/labels/a.png") as picture:
        assert np.array_equal(np.asarray(picture), label)
    # 131 pixels in at most 50: a third, which is said.
    with Image.open(tmp_path / "out/overlays/a.png") as picture:
        assert picture.size == (44, 32)
    assert "its overlay has 1/3 of its height and width" in caplog.text


@pytest.mark.parametrize("inference", [Inference(), Inference(WINDOW, scales=(0.5,)), Inference(WINDOW, divisor=32)])
def test_what_needs_all_pixels_reads_them(tiff: Path, tmp_path: Path, inference: Inference) -> None:
    predict = labeller(inference)
    predict.predict_folder(tiff, tmp_path / "out")
    with Image.open(tmp_path / "out/labels/a.png") as picture:
        assert np.array_equal(np.asarray(picture), predict(tifffile.imread(tiff)))
    with Image.open(tmp_path / "out/overlays/a.png") as picture:
        assert picture.size == (131, 95)


def megabytes(*arguments: str) -> float:
    found = run_python("-m", "prediction_memory", *arguments)
    assert found.returncode == 0, found.stderr
    return float(found.stdout.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the peak")
def test_windows_of_many_classes_need_no_map_of_all_scores() -> None:
    # 150 scores of 1000 x 1500 pixels are 900 MB; class numbers of 64 bits and confidences another 18 MB, twice.
    assert megabytes("classes") < 100


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the peak")
def test_a_large_tiff_is_never_whole_in_memory(tmp_path: Path) -> None:
    # 9000 x 9000 pixels: 243 MB of colors, 81 MB of labels.
    path = tmp_path / "a.tif"
    tifffile.memmap(path, shape=(9000, 9000, 3), dtype=np.uint8, photometric="rgb").flush()
    assert megabytes("tiff", str(path), str(tmp_path / "out")) < 400
