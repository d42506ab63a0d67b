"""Every shipped recipe is parsed, built on a tiny data set and run for one step."""

from pathlib import Path

import pytest
import torch
import yaml
from recipes_on_tiny_data import on_tiny_data

from densekd.builders.build import build
from densekd.data import DATASETS
from densekd.data.sampler import Draw
from densekd.models import MODELS
from densekd.recipe import load_recipe, parse_recipe
from densekd.registry import construct

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))


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
    built = build(parse_recipe(on_tiny_data(yaml.safe_load(path.read_text(encoding="utf-8")), roots), str(path)))
    built.distiller._trainer = None
    batch = built.training.collate([built.training[Draw(k, k)] for k in range(2)])
    result = built.distiller.training_step(batch, 0)
    result["loss"].backward()
    assert torch.isfinite(result["loss"])
    assert {name.partition("/")[0] for name in result["losses"]} <= {"task", "distill"}
    assert all(p.grad is not None for p in built.distiller.parameters() if p.requires_grad)
