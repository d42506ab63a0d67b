"""Every shipped recipe is parsed, built on a tiny data set and run for one step; its schema is published."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from densekd.build import build
from densekd.data.sampler import Draw
from densekd.data.segmentation import as_batch
from densekd.recipe import Recipe, load_recipe, parse_recipe

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))


def on_tiny_data(path: Path, data_root: Path) -> dict[str, Any]:
    """Return the recipe with data, crop and checkpoints that every machine has."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["data"] |= {"dataset": "folder", "root": str(data_root), "batch_size": 2}
    content["data"].pop("resize", None)
    content["augment"]["crop"] = [32, 32]
    content["student"] |= {"checkpoint": None, "pretrained": None}
    if content.get("teacher"):
        model = {"model": "fpn", "options": {"backbone": "resnet18"}}
        content["teacher"] = {**model, **content["teacher"], "checkpoint": "untrained", "pretrained": None}
    return content


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_is_built_and_steps(path: Path, data_root: Path) -> None:
    assert load_recipe(path).name == path.stem
    built = build(parse_recipe(on_tiny_data(path, data_root), str(path)))
    built.distiller._trainer = None
    batch = as_batch([built.training[Draw(k, k)] for k in range(2)])
    result = built.distiller.training_step(batch, 0)
    result["loss"].backward()
    assert torch.isfinite(result["loss"])
    assert {name.partition("/")[0] for name in result["losses"]} <= {"task", "distill"}
    assert all(p.grad is not None for p in built.distiller.parameters() if p.requires_grad)


def test_the_schema_is_published() -> None:
    published = json.loads((ROOT / "docs" / "recipe.schema.json").read_text(encoding="utf-8"))
    assert published == Recipe.model_json_schema(), "densekd schema > docs/recipe.schema.json"
