"""A tiny segmentation data set that can be learnt, and a recipe for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VOID = 255
COLORS = np.array([(60, 60, 60), (220, 40, 40), (40, 200, 60), (50, 80, 220), (230, 210, 40), (200, 60, 210)])


def make_scene(seed: int, size: tuple[int, int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image ``[H, W, 3]`` and its label: one rectangle per class on a background, noise, a void corner."""
    height, width = size
    rng = np.random.default_rng(seed)
    label = np.zeros(size, dtype=np.uint8)
    for c in range(1, classes):
        top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
        label[top : top + height // 3, left : left + width // 3] = c
    image = (COLORS[label] + rng.integers(-20, 21, (height, width, 3))).clip(0, 255).astype(np.uint8)
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


def make_depth(root: Path, splits: Mapping[str, int], size: tuple[int, int] = (32, 48)) -> Path:
    """Write images with depth maps of 1 to 10 m, a corner not measured, in the ``depth`` layout; return ``root``."""
    for number, (split, count) in enumerate(splits.items()):
        for kind in ("images", "depth"):
            (root / kind / split).mkdir(parents=True)
        for k in range(count):
            image, label = make_scene(1000 * number + k, size, classes=3)
            depth = np.where(label == VOID, 0, 1 + 3 * label + np.linspace(0, 3, size[1])).astype(np.float32)
            Image.fromarray(image).save(root / "images" / split / f"{k:03}.png")
            np.save(root / "depth" / split / f"{k:03}.npy", depth)
    (root / "depth.json").write_text(json.dumps({"scale": 1, "unit": "m"}))
    return root


def tiny_recipe(root: Path) -> dict[str, Any]:
    """Return the content of a recipe that trains in seconds: a student alone, on ``root`` in the ``folder`` layout."""
    return {
        "name": "tiny",
        "data": {"dataset": "folder", "root": str(root), "batch_size": 4, "cache": 0.01},
        "augment": {"crop": [32, 32]},
        "student": {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 16}},
        "optimizer": {"method": "adamw", "lr": 0.003, "weight_decay": 0.02},
        "training": {"steps": 6, "precision": 32, "log_every": 2, "checkpoint_every": 2},
    }
