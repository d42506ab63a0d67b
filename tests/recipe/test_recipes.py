"""Every shipped recipe is parsed, built on a tiny data set and run for one step."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from densekd.builders.build import build
from densekd.data import DATASETS
from densekd.data.sampler import Draw
from densekd.models import MODELS
from densekd.recipe import load_recipe, parse_recipe
from densekd.registry import construct

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))


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
    tiny = {"model": content["student"]["model"], "options": DETECTOR, "pretrained": None, "checkpoint": None}
    content["student"] = tiny
    if content.get("teacher"):
        content["teacher"] = tiny | {"checkpoint": "untrained"}
    return content


def on_tiny_data(path: Path, roots: dict[str, Path]) -> dict[str, Any]:
    """Return the recipe with data, crop, models and checkpoints that every machine has; terms and weights stay."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    kind = content.get("task", {}).get("kind")
    if kind == "detection":
        return on_tiny_boxes(content, roots["coco"])
    dataset = "depth" if kind == "depth" else "folder"
    content["data"] |= {"dataset": dataset, "root": str(roots[dataset]), "batch_size": 2, "workers": 0}
    content["data"].pop("resize", None)
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


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_models_and_data_are_known(path: Path) -> None:
    recipe = load_recipe(path)
    with torch.device("meta"):
        construct(MODELS[recipe.student.model or ""], recipe.student.options, {"num_classes": 19}, "student")
    assert recipe.data.dataset in DATASETS


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_is_built_and_steps(path: Path, data_root: Path, boxes_root: Path, depth_root: Path) -> None:
    assert load_recipe(path).name == path.stem
    roots = {"folder": data_root, "coco": boxes_root, "depth": depth_root}
    built = build(parse_recipe(on_tiny_data(path, roots), str(path)))
    built.distiller._trainer = None
    batch = built.training.collate([built.training[Draw(k, k)] for k in range(2)])
    result = built.distiller.training_step(batch, 0)
    result["loss"].backward()
    assert torch.isfinite(result["loss"])
    assert {name.partition("/")[0] for name in result["losses"]} <= {"task", "distill"}
    assert all(p.grad is not None for p in built.distiller.parameters() if p.requires_grad)


def test_every_preset_is_in_the_table() -> None:
    table = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    presets = {f"recipes/{path.relative_to(ROOT / 'recipes')}" for path in RECIPES if path.parent.name != "recipes"}
    listed = set(re.findall(r"recipes/[\w/-]+\.yaml", table))
    assert listed == presets
