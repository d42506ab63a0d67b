"""Dataset of synthetic street scenes in the ``folder`` layout, written for the quickstart."""

import json
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from densekd.atomic import write_text
from densekd.data.demo.classes import IGNORE, NAMES, PALETTE
from densekd.data.demo.scene import draw_scene
from densekd.disk import naming
from densekd.errors import UserError
from densekd.parsers import load_json

_VERSION = 1  # raise it when the pictures change: sets made before are then made again


def make_demo(root: Path, images: dict[str, int], size: tuple[int, int], seed: int) -> None:
    """Write a set of scenes in the ``folder`` layout, or keep one that was made the same way.

    Every picture depends on ``seed``, its split's name, its index and ``size`` only.
    ``classes.json`` is written last: a set without it is unfinished and is made again.

    Args:
        root: the folder of the set; made if missing.
        images: how many images each split gets, e.g. ``{"train": 240, "val": 60}``.
        size: height and width of the images in pixels.
        seed: any integer from 0.

    Raises:
        UserError: ``root`` holds a dataset that was not made here.
    """
    made_with = {"version": _VERSION, "images": images, "size": list(size), "seed": seed}
    # The settings are kept in the index: other settings make the set anew.
    index = root / "classes.json"
    about = {
        "name": "demo",
        "num_classes": len(NAMES),
        "names": NAMES,
        "palette": list(PALETTE.values()),
        "ignore_index": IGNORE,
        "made_with": made_with,
    }
    if index.exists():
        if _settings(index) == made_with:
            # A damaged index is written again.
            write_text(index, json.dumps(about, indent=1) + "\n")
            return
        index.unlink()
    for stale in root.glob("*/*/demo_*.png"):
        stale.unlink()
    for split, count in images.items():
        _write_split(root, split, count, size, seed)
    write_text(index, json.dumps(about, indent=1) + "\n")


def scene_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """Random generator of one picture: independent of how many others are made."""
    return np.random.default_rng([seed, crc32(split.encode()), index])


def _settings(index: Path) -> object:
    """Read what the set of ``index`` was made with; a set from elsewhere is never overwritten."""
    try:
        return load_json(index)["made_with"]
    except (ValueError, KeyError, TypeError):
        problem = "holds another dataset; give the demo a folder of its own."
        raise UserError(f"{index.parent}: {problem}") from None


def _write_split(root: Path, split: str, count: int, size: tuple[int, int], seed: int) -> None:
    images = root / "images" / split
    labels = root / "labels" / split
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        scene = draw_scene(scene_rng(seed, split, i), size)
        name = f"demo_{i:05d}.png"
        # Light compression: writing takes most of the time.
        for path, picture in ((images / name, scene.image), (labels / name, scene.label)):
            with naming(path):
                Image.fromarray(picture).save(path, compress_level=1)
