"""What many tests share: a tiny data set that can be learnt, and a recipe for it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from trees import make_coco

VOID = 255
COLOURS = np.array([(60, 60, 60), (220, 40, 40), (40, 200, 60), (50, 80, 220), (230, 210, 40), (200, 60, 210)])


def make_scene(seed: int, size: tuple[int, int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image ``[H, W, 3]`` and its label: one rectangle per class on a background, noise, a void corner."""
    height, width = size
    rng = np.random.default_rng(seed)
    label = np.zeros(size, dtype=np.uint8)
    for c in range(1, classes):
        top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
        label[top : top + height // 3, left : left + width // 3] = c
    image = (COLOURS[label] + rng.integers(-20, 21, (height, width, 3))).clip(0, 255).astype(np.uint8)
    label[:2, :2] = VOID
    return image, label


def make_folder(root: Path, splits: Mapping[str, int], size: tuple[int, int] = (32, 48), classes: int = 3) -> Path:
    """Write a data set in the ``folder`` layout and return ``root``; image k of a split is always the same."""
    for number, (split, count) in enumerate(splits.items()):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for k in range(count):
            image, label = make_scene(1000 * number + k, size, classes)
            Image.fromarray(image).save(root / "images" / split / f"{k:03}.png")
            Image.fromarray(label).save(root / "labels" / split / f"{k:03}.png")
    (root / "classes.json").write_text(json.dumps({"names": [f"class{c}" for c in range(classes)]}))
    return root


def tiny_recipe(root: Path) -> dict[str, Any]:
    """Return the content of a recipe that trains in seconds: a student alone, on ``root`` in the ``folder`` layout."""
    return {
        "name": "tiny",
        "data": {"dataset": "folder", "root": str(root), "batch_size": 4, "cache": 0.01},
        "augment": {"crop": [32, 32]},
        "student": {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 16}},
        "optimiser": {"method": "adamw", "lr": 0.003, "weight_decay": 0.02},
        "training": {"steps": 6, "log_every": 2, "checkpoint_every": 2},
    }


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 6 training and 3 validation images of 32 x 48 pixels with 3 classes; nobody changes it."""
    return make_folder(tmp_path_factory.mktemp("data"), {"train": 6, "val": 3})


@pytest.fixture(scope="session")
def boxes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of 64 x 128 pixels in both splits, with boxes of 2 classes in COCO's JSON; nobody changes it."""
    root = tmp_path_factory.mktemp("boxes")
    for split in ("train", "val"):
        make_coco(root / f"instances_{split}.json", root / split)
    return root


@pytest.fixture
def detection_recipe(boxes_root: Path) -> dict[str, Any]:
    """The content of a recipe that trains a detector in seconds: a student alone, on ``boxes_root``."""
    return {
        "name": "tiny",
        "data": {"dataset": "coco", "root": str(boxes_root), "batch_size": 2, "cache": 0.01},
        "augment": {"short_side": [32, 64]},
        "student": {"model": "gfl", "options": {"backbone": "resnet18_025", "channels": 16, "depth": 1}},
        "task": {"kind": "detection"},
        "optimiser": {"method": "adamw", "lr": 0.003, "weight_decay": 0.02},
        "training": {"steps": 6, "log_every": 2, "checkpoint_every": 2},
    }


@pytest.fixture
def recipe(data_root: Path) -> dict[str, Any]:
    """The content of :func:`tiny_recipe` on ``data_root``, the test's to change."""
    return tiny_recipe(data_root)


@pytest.fixture(autouse=True)
def _calm_torch() -> Iterator[None]:
    """One thread and a known seed for every test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
