"""Data loading benchmark: augmented training samples a second of one core, against the source systems' own code.

    python benchmarks/data.py [--samples 96] [--cirkd CIRKD/dataset/cityscapes.py]

Files of Cityscapes' size (2048 x 1024) are made from noise on smooth colors, as PNG and as JPEG,
with label PNGs. Each sample: scale 0.5-2, crop 512 x 1024, mirror, with and without photometric
distortion. ``shards`` is densekd on the same pixels packed uncompressed. The loaders take turns, and
CPU seconds of one thread are counted. mmsegmentation (with mmcv-lite, mmengine and
opencv-python-headless) is measured where it is installed, CIRKD where its file is given; none of them
is needed otherwise. Writes ``benchmarks/results/data-<machine>.json``.
"""

import argparse
import importlib
import importlib.util
import json
import platform
import sys
import tempfile
import time
import types
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import processor
from PIL import Image
from torchvision.transforms import v2

from densekd.atomic import write_text
from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles
from densekd.data.found import Item
from densekd.data.maps import TrainingSet
from densekd.data.photometric import PhotometricDistortion
from densekd.data.sampler import Draw
from densekd.data.shards import shards, write_shards
from densekd.data.transforms import RandomScaledCrop
from densekd.run.environment import environment

HERE = Path(__file__).parent
SIZE, CROP = (1024, 2048), (512, 1024)
FILES = 16
# Makes the sample of a file, by its number.
Load = Callable[[int], Any]


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


def densekd(files: SegmentationFiles, photometric: bool) -> Load:
    """Return densekd's training set, without its cache."""
    steps: list[v2.Transform] = [RandomScaledCrop(CROP, 1.0, 255, (0.5, 2.0)), v2.RandomHorizontalFlip(0.5)]
    if photometric:
        steps.append(PhotometricDistortion())
    training = TrainingSet(files, None, v2.Compose(steps), 0, 0)
    numbers = count()
    return lambda k: training[Draw(k, next(numbers))]


def mmsegmentation(files: SegmentationFiles, photometric: bool) -> Load | None:
    """Return mmsegmentation's own pipeline of Cityscapes; None if it is not installed."""
    if importlib.util.find_spec("mmseg") is None:
        return None
    # Compiled operators that its losses import and no transform uses; mmcv-lite has none.
    operators: Any = types.ModuleType("mmcv.ops")
    operators.point_sample = None
    sys.modules.setdefault("mmcv.ops", operators)
    general: Any = importlib.import_module("mmcv.transforms")
    own: Any = importlib.import_module("mmseg.datasets.transforms")
    importlib.import_module("cv2").setNumThreads(1)
    steps = [general.LoadImageFromFile(), own.LoadAnnotations()]
    steps.append(general.RandomResize(scale=SIZE[::-1], ratio_range=(0.5, 2.0), keep_ratio=True))
    # As in densekd here, any crop is taken.
    steps += [own.RandomCrop(CROP, cat_max_ratio=1.0), general.RandomFlip(prob=0.5)]
    if photometric:
        steps.append(own.PhotoMetricDistortion())
    steps.append(own.PackSegInputs())

    def load(k: int) -> Any:
        item = files.items[k]
        sample: Any = {"img_path": str(item.image), "seg_map_path": str(item.label)}
        sample |= {"reduce_zero_label": False, "seg_fields": [], "label_map": None}
        for step in steps:
            sample = step(sample)
        return sample

    return load


def cirkd(files: SegmentationFiles, source: Path | None) -> Load | None:
    """Return CIRKD's own training set, from its file; None without one."""
    if source is None:
        return None
    spec = importlib.util.spec_from_file_location("cirkd_cityscapes", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pairs = [f"{item.image} {item.label}" for item in files.items]
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "train.lst"
        write_text(listed, "\n".join(pairs))
        training = module.CSTrainValSet("/", str(listed), crop_size=CROP)
    return lambda k: training[k]


def in_turns(loaders: dict[str, Load], samples: int) -> dict[str, float]:
    """Return the median CPU seconds of a sample of each loader."""
    times: dict[str, list[float]] = {name: [] for name in loaders}
    for k in range(samples + 2):
        for name, load in loaders.items():
            start = time.process_time()
            load(k % FILES)
            # The first two fill tables and pools of memory.
            if k >= 2:
                times[name].append(time.process_time() - start)
    return {name: float(np.median(one)) for name, one in times.items()}


def measure(folder: Path, suffix: str, photometric: bool, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all loaders on files of one kind; one row for each."""
    files = make(folder, suffix, FILES)
    if not (folder / "train.json").is_file():
        list(write_shards(files, "train", folder, 500, "uncompressed"))
    found = {
        "CIRKD": None if photometric else cirkd(files, arguments.cirkd),
        "mmsegmentation": mmsegmentation(files, photometric),
        "densekd, files": densekd(files, photometric),
        "densekd, shards of uncompressed images": densekd(shards(folder, "train"), photometric),
    }
    times = in_turns({name: load for name, load in found.items() if load is not None}, arguments.samples)
    rows = []
    for name, seconds in times.items():
        row = {"files": suffix[1:], "photometric": photometric, "loader": name, "ms": 1000 * seconds}
        row |= {f"of {peer}": seconds / times[peer] for peer in ("CIRKD", "mmsegmentation") if peer in times}
        rows.append(row)
    return rows


def shown(row: dict[str, Any]) -> str:
    """Return a row of the table in docs/benchmarks.md."""
    ratios = [f"{row[peer]:.2f}" if peer in row else "" for peer in ("of mmsegmentation", "of CIRKD")]
    kind = row["files"].upper().replace("JPG", "JPEG") + (", photometric" if row["photometric"] else "")
    cells = [kind, row["loader"], f"{row['ms']:.1f}", f"{1000 / row['ms']:.1f}", *ratios]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=96, help="of each loader")
    parser.add_argument("--machine", default=platform.node(), help="name of the results file")
    parser.add_argument("--cirkd", type=Path, help="dataset/cityscapes.py of CIRKD")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    np.random.seed(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".png", ".jpg"):
            place = Path(folder) / suffix[1:]
            place.mkdir()
            for photometric in (False, True):
                found = measure(place, suffix, photometric, arguments)
                print("\n".join(map(shown, found)), flush=True)
                rows += found
    results = {"environment": environment(), "processor": processor(), "threads": 1, "samples": arguments.samples}
    results["rows"] = rows
    write_text(HERE / "results" / f"data-{arguments.machine}.json", json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
