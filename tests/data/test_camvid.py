import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densekd.data.camvid import CLASSES, camvid
from densekd.errors import UserError

LAYOUTS = {"images and labels": ("images/val", "labels/val"), "source": ("val", "valannot")}
REAL = os.environ.get("DENSEKD_CAMVID", "")


def make_camvid(root: Path, layout: str) -> np.ndarray:
    images, labels = (root / folder for folder in LAYOUTS[layout])
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    label = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(label).save(labels / "0016E5_07959.png")
    Image.new("RGB", (4, 3)).save(images / "0016E5_07959.png")
    return label


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_layouts_are_known_and_eleven_is_void(tmp_path: Path, layout: str) -> None:
    label = make_camvid(tmp_path, layout)
    files = camvid(tmp_path, "val")
    assert [item.stem for item in files.items] == ["0016E5_07959"]
    assert files.label(0).tolist() == np.where(label == 11, 255, label).tolist()


def test_a_missing_split_says_what_was_looked_for(tmp_path: Path) -> None:
    make_camvid(tmp_path, "source")
    with pytest.raises(UserError) as error:
        camvid(tmp_path, "test")
    assert str(error.value) == (
        f"{tmp_path}: no CamVid split 'test'; looked for {tmp_path}/images/test and {tmp_path}/test."
    )


def test_there_are_eleven_classes_of_different_colour() -> None:
    assert len(CLASSES.names) == len(set(CLASSES.palette)) == 11
    assert CLASSES.names.index("Car") == 8
    assert CLASSES.ignore_index == 255


@pytest.mark.skipif(not REAL, reason="DENSEKD_CAMVID names no folder with the real CamVid")
@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101)])
def test_the_real_set(split: str, count: int) -> None:
    files = camvid(Path(REAL), split)
    assert len(files) == count
    image, label = files.pair(count // 2)
    assert image.shape == (360, 480, 3)
    assert set(np.unique(label).tolist()) <= {*range(11), 255}
