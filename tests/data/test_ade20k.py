"""ADE20K in its official layout: found and mapped."""

from pathlib import Path

import numpy as np
import pytest
from dataset_trees import make_ade20k
from PIL import Image

from densekd.data.ade20k import ade20k


@pytest.mark.parametrize("inside", ["", "ADEChallengeData2016"])
def test_ade20k_zero_is_void(tmp_path: Path, inside: str) -> None:
    root = make_ade20k(tmp_path) / inside
    files = ade20k(root, "val")
    raw = np.array(Image.open(files.items[0].label)).astype(int)
    assert files.label(0).tolist() == np.where(raw == 0, 255, raw - 1).tolist()
    assert files.label(0).max() == 255
    assert 149 in files.label(0)
    assert len(ade20k(root, "train")) == 2
