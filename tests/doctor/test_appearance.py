"""Exchanged labels are seen in the mean colors of classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_data import make_folder
from training_runs import parsed

from densekd.doctor.appearance import examine_appearance
from densekd.doctor.case import open_case


@pytest.mark.parametrize(
    ("order", "names"),
    [([0, 1, 2], []), ([0, 2, 1], ["labels-swapped"]), ([1, 2, 0], ["labels-swapped"])],
)
def test_exchanged_labels(healthy: dict[str, Any], tmp_path: Path, order: list[int], names: list[str]) -> None:
    root = make_folder(tmp_path / "data", {"train": 12, "val": 12})
    table = np.arange(256, dtype=np.uint8)
    table[:3] = order
    for path in (root / "labels" / "val").glob("*.png"):
        Image.fromarray(table[np.array(Image.open(path))]).save(path)
    healthy["data"]["root"] = str(root)
    found = examine_appearance(open_case(parsed(healthy), None))
    assert [finding.name for finding in found] == names
    if names:
        assert found[0].numbers["classes"] == sum(k != number for k, number in enumerate(order))
