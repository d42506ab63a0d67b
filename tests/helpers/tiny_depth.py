"""A tiny depth data set that can be learned, and a recipe for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SCALE = 0.01


def make_depth_scene(seed: int, size: tuple[int, int] = (32, 48)) -> tuple[np.ndarray, np.ndarray]:
    """Return an image ``[H, W, 3]`` and depths ``[H, W]`` in meters: the nearer, the brighter; a corner unmeasured."""
    height, width = size
    rng = np.random.default_rng(seed)
    depth = np.linspace(9, 2, height)[:, None] + np.zeros((1, width))
    top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
    depth[top : top + height // 3, left : left + width // 3] = rng.uniform(1, 2)
    light = 230 / depth
    image = (light[..., None] * (1, 0.8, 0.6) + rng.integers(-5, 6, (height, width, 3))).clip(0, 255).astype(np.uint8)
    depth[:2, :2] = 0
    return image, depth.astype(np.float32)


def make_depth(root: Path, splits: Mapping[str, int], suffix: str = ".png") -> Path:
    """Write a data set in the ``depth`` layout and return ``root``; image k of a split is always the same."""
    for number, (split, count) in enumerate(splits.items()):
        for kind in ("images", "depth"):
            (root / kind / split).mkdir(parents=True)
        for k in range(count):
            image, depth = make_depth_scene(1000 * number + k)
            Image.fromarray(image).save(root / "images" / split / f"{k:03}.png")
            steps = depth / SCALE
            if suffix == ".npy":
                np.save(root / "depth" / split / f"{k:03}.npy", steps)
            else:
                Image.fromarray(steps.round().astype(np.uint16)).save(root / "depth" / split / f"{k:03}.png")
    (root / "depth.json").write_text(json.dumps({"scale": SCALE, "unit": "m"}))
    return root


def depth_recipe(root: Path) -> dict[str, Any]:
    """Return the content of a recipe that trains in seconds: a student alone, on ``root``."""
    return {
        "name": "tiny",
        "data": {"dataset": "depth", "root": str(root), "batch_size": 4, "cache": 0.01},
        "augment": {"crop": [32, 32]},
        "student": {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 16}},
        "task": {"kind": "depth"},
        "optimizer": {"method": "adamw", "lr": 0.003, "weight_decay": 0.02},
        "training": {"steps": 6, "precision": 32, "log_every": 2, "checkpoint_every": 2},
    }
