"""Tiny segmentation data of other bands than RGB, written as gray PNG or as TIFF."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from tiny_data import make_scene


def band_image(seed: int, bands: int, white: int, size: tuple[int, int] = (32, 48)) -> tuple[np.ndarray, np.ndarray]:
    """Return bands ``[H, W, bands]`` of 8 bits (white 255) or 16, each darker than the last, and their label."""
    image, label = make_scene(seed, size, 3)
    factors = 1 / (1 + np.arange(bands))
    values = image[..., np.arange(bands) % 3] * factors * (white / 255)
    return values.astype(np.uint8 if white == 255 else np.uint16), label


def make_bands(root: Path, splits: Mapping[str, int], bands: int, white: int = 255) -> Path:
    """Write a data set of bands in the ``folder`` layout and return ``root``."""
    for number, (split, count) in enumerate(splits.items()):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for k in range(count):
            image, label = band_image(1000 * number + k, bands, white)
            if bands == 1:
                Image.fromarray(image[..., 0]).save(root / "images" / split / f"{k:03}.png")
            else:
                path = root / "images" / split / f"{k:03}.tif"
                tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig")
            Image.fromarray(label).save(root / "labels" / split / f"{k:03}.png")
    (root / "classes.json").write_text(json.dumps({"names": [f"class{c}" for c in range(3)]}))
    return root
