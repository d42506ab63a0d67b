"""Recipes on data and models that every machine has: for building and stepping all of them."""

from pathlib import Path
from typing import Any

# What stands in for models that take long to build; all have the same taps.
STAND_IN = {"model": "pspnet", "options": {"backbone": "resnet18_025", "auxiliary_channels": 8}}
# Queues that would fill the machine.
SMALL = {
    "cirkd_memory": {"pixel_memory_size": 64, "region_memory_size": 32},
    "cirkd_channel": {"channel_memory_size": 64},
}


# The same for detectors; strides and levels are those of the published ones.
DETECTOR = {"backbone": "resnet18_025", "channels": 16, "depth": 1}


def on_tiny_boxes(content: dict[str, Any], boxes_root: Path) -> dict[str, Any]:
    """Return a recipe of detection with data, models and checkpoints that every machine has."""
    content["data"] |= {"dataset": "coco", "root": str(boxes_root), "batch_size": 2, "workers": 0, "short_side": 64}
    content["data"] |= {"train": "train", "val": "val"}
    content["augment"].pop("short_side", None)
    model = content["student"]["model"]
    options = {key: value for key, value in DETECTOR.items() if key != "depth" or model != "faster_rcnn"}
    tiny = {"model": model, "options": options, "pretrained": None, "checkpoint": None}
    content["student"] = tiny
    if content.get("teacher"):
        content["teacher"] = tiny | {"checkpoint": "untrained"}
    return content


def on_tiny_data(content: dict[str, Any], roots: dict[str, Path]) -> dict[str, Any]:
    """Return a recipe with data, crop, models and checkpoints that every machine has; terms and weights stay."""
    kind = content.get("task", {}).get("kind")
    if kind == "detection":
        return on_tiny_boxes(content, roots["coco"])
    dataset = "depth" if kind == "depth" else "folder"
    content["data"] |= {"dataset": dataset, "root": str(roots[dataset]), "batch_size": 2, "workers": 0}
    content["data"].pop("resize", None)
    # Groups are found in names that tiny images do not have.
    content["data"].pop("leave_out", None)
    content["augment"]["crop"] = [32, 32]
    if content["student"]["model"] != "fpn":
        content["student"] = STAND_IN
    content["student"] = content["student"] | {"checkpoint": None, "pretrained": None}
    if content.get("teacher"):
        plain = {"model": "fpn", "options": {"backbone": "resnet18"}}
        model = STAND_IN if content["student"]["model"] == "pspnet" else plain
        # Those of the published file.
        content["teacher"].pop("options", None)
        content["teacher"] = {**model, **content["teacher"], "checkpoint": "untrained", "pretrained": None}
    for term in content.get("distill", []):
        term["options"] = term.get("options", {}) | SMALL.get(term["method"], {})
    return content
