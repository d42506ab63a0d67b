"""Ways in which people keep segmentation data: each is read as what it means, or refused with a remedy that works."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_exports import HEIGHT, WIDTH, picture, truth
from newcomers_layouts import LAYOUTS
from tiny_data import tiny_recipe

from densekd.builders.data import build_files
from densekd.data import DATASETS
from densekd.data.files import SegmentationFiles
from densekd.errors import UserError
from densekd.recipe import Recipe, parse_recipe
from densekd.run.data_check import check_data


def recipe(root: Path, data: Mapping[str, Any]) -> Recipe:
    content = tiny_recipe(root)
    content["data"].update(data)
    return parse_recipe(content, "test")


def find_both(read: Recipe) -> None:
    for split in (read.data.train, read.data.val):
        build_files(read.data, split)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_or_refused_with_a_remedy_that_works(name: str, tmp_path: Path) -> None:
    layout, root = LAYOUTS[name], tmp_path / "data"
    root.mkdir()
    layout.make(root)
    data = dict(layout.data)
    if layout.refused is not None:
        with pytest.raises(UserError, match=layout.refused):
            find_both(recipe(root, data))
        # The data check says it, too.
        report = check_data(recipe(root, data), 0)
        assert report.fails
        assert any(re.search(layout.refused, problem.what) for problem in report.problems)
    if isinstance(layout.remedy, Mapping):
        data.update(layout.remedy)
    elif layout.remedy is not None:
        layout.remedy(root)
    read = recipe(root, data)
    for split in dict.fromkeys((read.data.train, read.data.val)):
        files = build_files(read.data, split)
        assert isinstance(files, SegmentationFiles)
        assert files.classes.names == layout.classes
        assert len(files) >= 2
        for index, item in enumerate(files.items):
            k = int(re.findall(r"\d+", item.stem)[-1])
            check_label(name, files, index, k, layout.order)
    assert not check_data(read, 0).fails


def check_label(name: str, files: SegmentationFiles, index: int, k: int, order: tuple[str, ...]) -> None:
    """Compare an image and its label with what was drawn."""
    image, label = files.pair(index)
    expected = truth(k, order).astype(int)
    if name == "0 and 255":
        expected = np.minimum(expected, 1)
    if name.startswith("0 is void"):
        expected[0] = 255
    np.testing.assert_array_equal(label, expected)
    assert image.shape == (HEIGHT, WIDTH, 3)
    # JPEG keeps images of noise roughly.
    assert np.abs(image.astype(int) - picture(k)).mean() < 60


def test_the_page_of_layouts_names_every_dataset_that_is_tried() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data-layouts.md").read_text(encoding="utf-8")
    named_datasets = {"folder"}
    for layout in LAYOUTS.values():
        named_datasets.add(str(layout.data.get("dataset", "folder")))
        if isinstance(layout.remedy, Mapping):
            named_datasets.add(str(layout.remedy.get("dataset", "folder")))
    named_datasets -= {"shards"}
    assert named_datasets <= set(DATASETS)
    for name in named_datasets:
        assert f"`{name}`" in page or f"dataset: {name}" in page
    # The keys of classes.json that are read.
    for key in ("names", "palette", "ignore_index", "void", "submission"):
        assert f"| `{key}` |" in page
