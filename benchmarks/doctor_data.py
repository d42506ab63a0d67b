"""Small scenes for benchmarks/doctor.py, and what is done to their images and labels."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("ground", "red", "green", "blue")
SIZE = (48, 64)
_VOID = 255
_COLORS = np.array([(110, 110, 100), (215, 60, 50), (60, 185, 70), (50, 80, 205)])
Pair = tuple[np.ndarray, np.ndarray]
# Changes a picture and its label, by a generator of its own.
Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], Pair]


def scene(seed: int, moved: float = 0.0) -> Pair:
    """Return an image with a rectangle of each class on a rough ground, and its label with a void border."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    label = np.zeros(SIZE, np.uint8)
    for c in rng.permutation([1, 2, 3]):
        top = int(rng.integers(0, height - 16))
        left = int((rng.integers(0, width - 20) + moved) % (width - 20))
        label[top : top + int(rng.integers(12, 20)), left : left + int(rng.integers(14, 24))] = c
    # Light differs between scenes, texture within them.
    light = rng.uniform(0.75, 1.2) + rng.uniform(-0.15, 0.15) * np.linspace(-1, 1, width)[None, :, None]
    image = _COLORS[label] * light + rng.normal(0, 14, (height, width, 3))
    label[:2] = _VOID
    return image.clip(0, 255).astype(np.uint8), label


def write(root: Path, split: str, pairs: dict[str, Pair]) -> None:
    """Write pairs in the ``folder`` layout."""
    for kind in ("images", "labels"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    for name, (image, label) in pairs.items():
        Image.fromarray(image).save(root / "images" / split / f"{name}.png")
        Image.fromarray(label).save(root / "labels" / split / f"{name}.png")


def make(
    root: Path,
    train: Change | None = None,
    val: Change | None = None,
    names: tuple[str, ...] = NAMES,
    seed: int = 0,
    count: int = 32,
) -> Path:
    """Write a data set whose splits are changed, unless it is there; return its folder."""
    if (root / "classes.json").is_file():
        return root
    for number, (split, change, images) in enumerate((("train", train, count), ("val", val, 16))):
        pairs: dict[str, Pair] = {}
        for k in range(images):
            pair = scene(100_000 * seed + 1000 * number + k)
            if change is not None:
                pair = change(*pair, np.random.default_rng(k))
            pairs[f"{split}_{k:03}"] = pair
        write(root, split, pairs)
    (root / "classes.json").write_text(json.dumps({"names": names}))
    return root


def numbered(order: tuple[int, ...], share: float = 1.0) -> Change:
    """Return a change that gives class c the number ``order[c]``, in a share of the images."""
    table = np.arange(256, dtype=np.uint8)
    table[: len(order)] = order

    def change(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Pair:
        return image, table[label] if rng.random() < share else label

    return change


def voided(share: float) -> Change:
    """Return a change that makes rows void, so many of the pixels."""

    def change(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Pair:
        label = label.copy()
        label[: round(share * len(label))] = _VOID
        return image, label

    return change


def without(number: int, value: int) -> Change:
    """Return a change that gives the pixels of a class another value."""

    def change(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Pair:
        return image, np.where(label == number, value, label).astype(np.uint8)

    return change


def darker(factor: float) -> Change:
    """Return a change of the light."""

    def change(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Pair:
        return (image * factor).astype(np.uint8), label

    return change


def copied(root: Path, count: int, noise: float = 0.0) -> Path:
    """Write a data set of which so many validation images are training images, with noise."""
    if (root / "done").is_file():
        return root
    make(root)
    rng = np.random.default_rng(1)
    pairs: dict[str, Pair] = {}
    for k in range(count):
        image, label = scene(k)
        image = (image + rng.normal(0, noise, image.shape)).clip(0, 255).astype(np.uint8) if noise else image
        pairs[f"val_{k:03}"] = image, label
    write(root, "val", pairs)
    (root / "done").touch()
    return root


def drives(root: Path, order: str) -> Path:
    """Write frames of four slow drives: ``alternating`` between the splits, or one drive's ``end`` for validation."""
    if (root / "classes.json").is_file():
        return root
    splits: dict[str, dict[str, Pair]] = {"train": {}, "val": {}}
    for drive in range(4):
        for k in range(16):
            split = "val" if k % 3 == 2 else "train"
            if order == "end":
                split = "val" if drive == 0 and k >= 4 else "train"
            # Frames of the end are far apart, and neighbors in number alone.
            seed, moved = (7000 + drive, 2.0 * k) if order == "alternating" else (7000 + 100 * drive + k, 0.0)
            splits[split][f"drive{'abcd'[drive]}_{k:03}"] = scene(seed, moved)
    for split, pairs in splits.items():
        write(root, split, pairs)
    (root / "classes.json").write_text(json.dumps({"names": NAMES}))
    return root
