"""A student that knows its training images by heart."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tiny_data import make_folder
from training_runs import parsed

from densekd.doctor.capacity import examine_capacity
from densekd.doctor.case import open_case


def test_training_images_by_heart(healthy: dict[str, Any], trained: tuple[Path, Path], tmp_path: Path) -> None:
    case = replace(open_case(parsed(healthy), None), student=trained[1] / "student")
    assert examine_capacity(case) == []
    # Validation of other colors: what was learnt does not help there.
    root = make_folder(tmp_path / "data", {"train": 24, "val": 12})
    for path in (root / "images" / "val").glob("*.png"):
        Image.fromarray(255 - np.array(Image.open(path))).save(path)
    healthy["data"]["root"] = str(root)
    case = replace(open_case(parsed(healthy), None), student=trained[1] / "student")
    found = examine_capacity(case)
    assert [finding.name for finding in found] == ["student-overfits"]
    assert found[0].numbers["train"] > found[0].numbers["val"] + 20
