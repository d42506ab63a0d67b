"""A data set of synthetic street scenes in the ``folder`` layout, for the quickstart: made, not shipped."""

import json
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from densekd.atomic import write_text
from densekd.data.scene import IGNORE, NAMES, PALETTE, Bytes, make_scene
from densekd.errors import UserError

_VERSION = 1  # raise it when the pictures change: sets made before are then made again


def make_demo(root: Path, images: dict[str, int], size: tuple[int, int], seed: int) -> None:
    """Write a set of scenes in the ``folder`` layout, or keep the one that is there if it was made the same way.

    Every picture depends on ``seed``, its split's name, its index and ``size`` only. ``classes.json`` is written last:
    a set without it is unfinished and is made again.

    Args:
        root: the folder of the set; made if missing.
        images: how many images each split gets, e.g. ``{"train": 240, "val": 60}``.
        size: height and width of the images in pixels.
        seed: any integer from 0.

    Raises:
        UserError: ``root`` holds a data set that was not made here.
    """
    made_with = {"version": _VERSION, "images": images, "size": list(size), "seed": seed}
    index = root / "classes.json"
    if index.exists():
        if _settings(index) == made_with:
            return
        index.unlink()
    for stale in root.glob("*/*/demo_*.png"):
        stale.unlink()
    for split, count in images.items():
        _write_split(root, split, (make_scene(_rng(seed, split, i), size) for i in range(count)))
    about = {
        "name": "demo",
        "num_classes": len(NAMES),
        "names": NAMES,
        "palette": list(PALETTE.values()),
        "ignore_index": IGNORE,
        "made_with": made_with,
    }
    write_text(index, json.dumps(about, indent=1) + "\n")


def _rng(seed: int, split: str, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(split.encode()), index])


def _settings(index: Path) -> object:
    """What the set beside ``index`` was made with; one that was not made here is never overwritten."""
    try:
        return json.loads(index.read_text(encoding="utf-8"))["made_with"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{index.parent}: holds another data set; give the demo a folder of its own.") from None


def _write_split(root: Path, split: str, scenes: Iterable[tuple[Bytes, Bytes]]) -> None:
    for kind in ("images", "labels"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    for i, scene in enumerate(scenes):
        for kind, pixels in zip(("images", "labels"), scene, strict=True):
            Image.fromarray(pixels).save(root / kind / split / f"demo_{i:05d}.png", compress_level=1)
