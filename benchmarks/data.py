"""Data loading benchmark: augmented training samples a second of one core, against the source systems.

    python benchmarks/data.py [--folder data/cityscapes-like] [--samples 60]

Files of Cityscapes' size (2048 x 1024) are made from noise on smooth colors, as PNG and as JPEG,
with label PNGs. Each loader reads every sample once: scale 0.5-2, crop 512 x 1024, mirror.
``literal`` is what CIRKD and HWD do: OpenCV decodes, the whole picture is resized, brought to
float32, the mean subtracted, padded, and then cropped; ``pillow`` does the same with Pillow
(mmsegmentation's other backend). ``shards`` is densekd on the same pixels packed uncompressed.
Needs opencv-python-headless. Writes ``benchmarks/results/data-<machine>.json``.
"""

import argparse
import importlib
import io
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from densekd.atomic import write_text
from densekd.data.classes import Classes
from densekd.data.files import Item, SegmentationFiles
from densekd.data.maps import TrainingSet
from densekd.data.sampler import Draw
from densekd.data.shards import shards, write_shards
from densekd.data.transforms import RandomScaledCrop
from densekd.run.environment import environment

HERE = Path(__file__).parent
SIZE, CROP = (1024, 2048), (512, 1024)
MEAN = np.array((104.00698793, 116.66876762, 122.67891434), dtype=np.float32)


def make(folder: Path, suffix: str, count: int) -> SegmentationFiles:
    """Write samples that compress about as street scenes do."""
    items = []
    rng = np.random.default_rng(0)
    for k in range(count):
        image = folder / f"{k:03}{suffix}"
        label = folder / f"{k:03}.label.png"
        if not image.is_file():
            # Smooth colors and a little noise: pure noise would take too long to decode.
            coarse = Image.fromarray(rng.integers(0, 256, (32, 64, 3), dtype=np.uint8))
            smooth = np.array(coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC), dtype=np.float32)
            noisy = (smooth + rng.normal(0, 2.5, smooth.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(image, quality=95)
            classes = rng.integers(0, 19, (32, 64), dtype=np.uint8)
            Image.fromarray(classes).resize(SIZE[::-1], Image.Resampling.NEAREST).save(label)
        items.append(Item(f"{k:03}", image, label))
    return SegmentationFiles(Classes(tuple(map(str, range(19))), ()), tuple(items))


def literal(files: SegmentationFiles, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a sample as CIRKD's and HWD's training sets do."""
    cv2: Any = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    image = cv2.imread(str(files.items[k].image), cv2.IMREAD_COLOR)
    label = np.array(Image.open(io.BytesIO(files.items[k].label.read_bytes())))
    factor = 0.5 + np.random.randint(0, 16) / 10.0
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(label, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return _finish(np.asarray(image, np.float32) - MEAN, label)


def pillow(files: SegmentationFiles, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the same sample with Pillow."""
    image: Image.Image = Image.open(io.BytesIO(files.items[k].image.read_bytes())).convert("RGB")
    label: Image.Image = Image.open(io.BytesIO(files.items[k].label.read_bytes()))
    factor = 0.5 + np.random.randint(0, 16) / 10.0
    size = round(SIZE[1] * factor), round(SIZE[0] * factor)
    image = image.resize(size, Image.Resampling.BILINEAR)
    label = label.resize(size, Image.Resampling.NEAREST)
    return _finish(np.asarray(image, np.float32)[:, :, ::-1] - MEAN, np.array(label))


def _finish(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pad, crop at random and mirror, after the whole picture was resized and brought to float32."""
    down = max(CROP[0] - label.shape[0], 0)
    right = max(CROP[1] - label.shape[1], 0)
    image = np.pad(image, ((0, down), (0, right), (0, 0)))
    label = np.pad(label, ((0, down), (0, right)), constant_values=255)
    top = np.random.randint(0, label.shape[0] - CROP[0] + 1)
    left = np.random.randint(0, label.shape[1] - CROP[1] + 1)
    image = image[top : top + CROP[0], left : left + CROP[1]].transpose(2, 0, 1)
    label = label[top : top + CROP[0], left : left + CROP[1]]
    flip = np.random.choice(2) * 2 - 1
    return image[:, :, ::flip].copy(), label[:, ::flip].copy()


def ours(files: SegmentationFiles) -> Callable[[SegmentationFiles, int], Any]:
    """Return densekd's training set on the same files, without its cache."""
    augment = v2.Compose([RandomScaledCrop(CROP, 1.0, 255, (0.5, 2.0)), v2.RandomHorizontalFlip(0.5)])
    training = TrainingSet(files, None, augment, 0, 0)
    return lambda _, k: training[Draw(k, k)]


def seconds(load: Callable[[SegmentationFiles, int], Any], files: SegmentationFiles) -> float:
    """Return the median time of a sample."""
    times = []
    for k in range(len(files)):
        start = time.perf_counter()
        load(files, k)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--machine", default=platform.node(), help="name of the results file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".png", ".jpg"):
            (Path(folder) / suffix[1:]).mkdir()
            files = make(Path(folder) / suffix[1:], suffix, arguments.samples)
            np.random.seed(0)
            packed_in = Path(folder) / suffix[1:]
            list(write_shards(files, "train", packed_in, 500, "uncompressed"))
            packed = shards(packed_in, "train")
            loaders = {"literal": literal, "pillow": pillow, "densekd": ours(files), "shards": ours(packed)}
            times = {name: seconds(load, files) for name, load in loaders.items()}
            for name, t in times.items():
                ratio = times["literal"] / t
                rows.append({"files": suffix[1:], "loader": name, "ms": 1000 * t, "ratio": ratio})
                print(f"| {suffix[1:]} | {name} | {1000 * t:.1f} | {1 / t:.1f} | {ratio:.2f} |", flush=True)
    results = {"environment": environment(), "threads": 1, "samples": arguments.samples, "rows": rows}
    write_text(HERE / "results" / f"data-{arguments.machine}.json", json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
