"""Which size a model is evaluated at."""

from pathlib import Path
from typing import Any

import pytest
from tiny_data import make_folder

from densekd.data.folder import folder
from densekd.run.picture_size import default_size


@pytest.mark.parametrize(
    ("evaluation", "resize", "size"),
    [
        ({"crop": [24, 40]}, (16, 16), (24, 40)),
        ({}, (16, 20), (16, 20)),
        ({}, (16,), (16, 21)),
        ({}, None, (49, 67)),
        ({"divisor": 32}, None, (64, 96)),
    ],
)
def test_segmentation(evaluation: dict[str, Any], resize: Any, size: tuple[int, int], tmp_path: Path) -> None:
    files = folder(make_folder(tmp_path, {"val": 1}, size=(49, 67)), "val")
    assert default_size("segmentation", evaluation, resize, files) == size


@pytest.mark.parametrize(
    ("limits", "size"), [(None, (64, 96)), ((60, 100), (64, 96)), ((100, 1000), (128, 160)), ((480,), (480, 672))]
)
def test_detection_is_padded_as_its_batches_are(limits: Any, size: tuple[int, int], tmp_path: Path) -> None:
    files = folder(make_folder(tmp_path, {"val": 1}, size=(49, 67)), "val")
    assert default_size("detection", {}, limits, files) == size


def test_without_data() -> None:
    assert default_size("segmentation", {}, None, None) == (512, 512)
    assert default_size("segmentation", {}, (300,), None) == (300, 300)
    assert default_size("detection", {}, (800, 1333), None) == (800, 1344)
