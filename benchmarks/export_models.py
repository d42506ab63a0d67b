"""Models of the table of exports: recipes of tiny students that learn simple scenes in a minute each."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))

from tiny_data import make_folder
from tiny_hf import DETECTORS, MASKS, SEMANTIC

# Height and width of pictures and of the exported input.
SIZE = (64, 96)
_COLORS = ((220, 60, 40), (40, 200, 60), (50, 80, 220))
_TRAIN, _VALIDATION = 48, 12
_SMALL = {"backbone": "resnet18_025", "channels": 16}
_BARE = {**_SMALL, "auxiliary_channels": 0}


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Args:
        title: in the table.
        task: segmentation or detection.
        model: as a recipe names it.
        options: of the model.
        steps: of its training.
    """

    title: str
    task: str
    model: str
    options: dict[str, Any]
    steps: int = 100


def _hf(title: str, task: str, kind: str, config: dict[str, Any], steps: int = 100) -> Entry:
    return Entry(title, task, f"hf:{kind}", {"config": config}, steps)


ENTRIES = (
    Entry("PSPNet", "segmentation", "pspnet", _BARE),
    Entry("FPN", "segmentation", "fpn", _SMALL),
    Entry("DeepLabV3", "segmentation", "deeplabv3", _BARE),
    Entry("DeepLabV3+", "segmentation", "deeplabv3plus", {"backbone": "resnet18_025", "auxiliary_channels": 0}),
    Entry("SegFormer-B0", "segmentation", "segformer", {"backbone": "mit_b0", "channels": 64}),
    Entry("GFL", "detection", "gfl", {**_SMALL, "depth": 1}, 160),
    Entry("RetinaNet", "detection", "retinanet", {**_SMALL, "depth": 1}, 160),
    Entry("Faster R-CNN", "detection", "faster_rcnn", _SMALL, 100),
    _hf("RT-DETR", "detection", "rt_detr", DETECTORS["rt_detr"], 160),
    Entry("smp: U-Net", "segmentation", "smp:unet/resnet18", {}, 60),
    Entry("torchvision: LR-ASPP", "segmentation", "torchvision:lraspp_mobilenet_v3_large", {}, 80),
    _hf("hf: SegFormer", "segmentation", "segformer", SEMANTIC["segformer"], 200),
    _hf("hf: MaskFormer", "segmentation", "maskformer", MASKS["maskformer"], 100),
    Entry("UPerNet Swin-T", "segmentation", "upernet", {**_BARE, "backbone": "swin_tiny", "channels": 32}, 60),
    _hf("RT-DETRv2", "detection", "rt_detr_v2", DETECTORS["rt_detr_v2"], 160),
)  # fmt: skip


def make_data(folder: Path) -> None:
    """Write scenes with labels and scenes with boxes, unless they are there."""
    if (folder / "ready").exists():
        return
    counts = {"train": _TRAIN, "val": _VALIDATION}
    make_folder(folder / "segmentation", counts, SIZE)
    for number, (split, count) in enumerate(counts.items()):
        _make_boxes(folder / "detection", split, count, seed=number)
    (folder / "ready").touch()


def recipe_of(entry: Entry, data: Path) -> dict[str, Any]:
    """Return the recipe of an entry's training."""
    dataset, augment = "folder", {"crop": list(SIZE), "scale": [1.0, 1.0]}
    if entry.task == "detection":
        dataset, augment = "coco", {"short_side": [64, 64]}
    return {
        "name": "exported",
        "data": {"dataset": dataset, "root": str(data / entry.task), "batch_size": 4, "cache": 0.05},
        "augment": augment,
        "student": {"model": entry.model, "options": entry.options},
        "task": {"kind": entry.task},
        "optimizer": {"method": "adamw", "lr": 0.001, "weight_decay": 0.02},
        "training": {"steps": entry.steps, "log_every": 50, "validate_every": 1000},
    }


def _make_boxes(folder: Path, split: str, count: int, seed: int) -> None:
    """Write pictures of one to three colored rectangles in the layout of COCO."""
    rng = np.random.default_rng(seed)
    (folder / split).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        pixels = rng.integers(90, 140, (*SIZE, 3))
        images.append({"id": number, "file_name": f"{number:03}.png", "height": SIZE[0], "width": SIZE[1]})
        # Each rectangle has a third of the picture for itself.
        for third in range(3):
            category = int(rng.integers(0, 3))
            height, width = (int(side) for side in rng.integers(14, 30, 2))
            top, left = int(rng.integers(0, SIZE[0] - height)), 32 * third + int(rng.integers(0, 32 - width + 1))
            pixels[top : top + height, left : left + width] = _COLORS[category]
            box = [left, top, width, height]
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": category + 1, "bbox": box}
            annotations.append(entry | {"area": height * width, "iscrowd": 0})
        pixels = (pixels + rng.integers(-10, 11, pixels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / split / f"{number:03}.png")
    categories = [{"id": number, "name": name} for number, name in enumerate(("red", "green", "blue"), 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"instances_{split}.json").write_text(json.dumps(content), encoding="utf-8")
