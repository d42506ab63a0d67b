"""Cityscapes in its official layout: found, mapped, and complained about."""

from pathlib import Path

import numpy as np
import pytest
from dataset_trees import make_cityscapes
from PIL import Image

from densekd.data.cityscapes import cityscapes
from densekd.data.classes import published_classes
from densekd.errors import UserError


def test_cityscapes_ids_are_the_official_ones() -> None:
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    classes = published_classes("cityscapes")
    official = sorted((label.trainId, label) for label in labels if label.trainId not in (-1, 255))
    assert [label.name for _, label in official] == list(classes.names)
    assert [label.id for _, label in official] == list(classes.submission)
    assert [label.color for _, label in official] == list(classes.palette)


@pytest.mark.parametrize("nested", ["", "cityscapes"])
def test_cityscapes_label_ids_are_mapped_as_they_are_read(tmp_path: Path, nested: str) -> None:
    make_cityscapes(tmp_path / nested)
    files = cityscapes(tmp_path, "val")
    assert [item.stem for item in files.items] == [f"frankfurt/frankfurt_{k:06}_000019" for k in range(2)]
    raw = np.array(Image.open(files.items[0].label))
    official = {7: 0, 8: 1, 24: 11, 26: 13, 33: 18}
    assert files.label(0).tolist() == np.vectorize(lambda value: official.get(value, 255))(raw).tolist()
    image, label = files.pair(1)
    assert image.shape[:2] == label.shape


@pytest.mark.parametrize(
    ("split", "kind", "count"),
    [
        ("train", "gtFine", 4),
        ("train_extra", "gtCoarse", 2),
        ("train-coarse", "gtCoarse", 4),
        ("val-coarse", "gtCoarse", 2),
    ],
)
def test_cityscapes_fine_and_coarse(tmp_path: Path, split: str, kind: str, count: int) -> None:
    files = cityscapes(make_cityscapes(tmp_path), split)
    assert len(files) == count
    assert all(kind in item.label.name for item in files.items)


def test_cityscapes_without_labels_says_what_to_do(tmp_path: Path) -> None:
    root = make_cityscapes(tmp_path)
    for path in (root / "gtFine" / "val").rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match=r"no gtFine labels in it.*densekd data prepare cityscapes"):
        cityscapes(root, "val")
    with pytest.raises(UserError, match=r"Cityscapes images of 'test' not found; looked for .*leftImg8bit/test and"):
        cityscapes(root, "test")
