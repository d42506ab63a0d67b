"""The JSON schema for editors: it accepts every shipped recipe, and refuses what ``build`` refuses."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from densekd.cli.schema import recipe_schema
from densekd.cli.tables import TABLES
from densekd.losses import LOSSES
from densekd.models import MODELS

ROOT = Path(__file__).parents[2]
SCHEMA = recipe_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

RECIPE: dict[str, Any] = {
    "name": "x",
    "data": {"dataset": "folder", "root": "/data"},
    "student": {"model": "fpn", "options": {"channels": 16}},
    "teacher": {"model": "hf:x/y", "checkpoint": "untrained"},
    "distill": [{"method": "cwd", "weight": 3, "options": {"temperature": 4}}],
    "task": {"normalize": "all"},
    "training": {"steps": 5},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(RECIPE)
    place: Any = content
    *parents, last = path.split(".")
    for parent in parents:
        place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
    place[last] = value
    return content


def test_the_schema_is_published() -> None:
    published = json.loads((ROOT / "docs" / "recipe.schema.json").read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(SCHEMA)), "densekd schema > docs/recipe.schema.json"


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda path: str(path.stem))
def test_shipped_recipes_are_valid(path: Path) -> None:
    errors = [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))]
    assert errors == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "x"),
        ("distill.0.options", {"temperature": 4, "normalize": "channel"}),
        ("distill.0.method", "my_package.losses:Mine"),
        ("distill.0.adapter", "conv"),
        ("distill.0.adapter", {"name": "conv", "options": {"bias": True}}),
        ("distill.0.adapter", "mine:Adapter"),
        ("distill.0.weight", {"value": 3, "warmup": 100}),
        ("distill.0.through", ["head.{0,1}", "cls"]),
        ("logging", ["csv", {"name": "wandb", "options": {"project": "mine"}}]),
        ("logging", []),
        ("data.dataset", "mine:dataset"),
        ("data.options", {}),
        ("teacher.options", {"config": {"a": 1}}),
        ("evaluation", {"flip": "horizontal"}),
        ("task", {"kind": "none"}),
        ("task", {"kind": "detection"}),
        ("task", {"kind": "mine:Task", "anything": 3}),
    ],
)
def test_what_is_right(path: str, value: Any) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(changed(path, value))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("distill.0.options.temperature", "4"),
        ("distill.0.options.temperature", 0),
        ("distill.0.options.temprature", 4),
        ("distill.0.options.num_classes", 4),
        ("distill.0.method", "cdw"),
        ("distill.0.adapter", "convolution"),
        ("distill.0.adapter", {"name": "conv", "options": {"bais": True}}),
        ("distill.0.weight", "much"),
        ("student.options.channels", 12.5),
        ("student.options.depth", 3),
        ("student.model", "fnp"),
        ("teacher.options", {"confg": {}}),
        ("data.dataset", "cityscape"),
        ("data.options", {"x": 1}),
        ("logging", ["tensorbord"]),
        ("logging", [{"name": "wandb", "options": {"projekt": "mine"}}]),
        ("task.normalize", "some"),
        ("task.normalise", "all"),
        ("task", {"kind": "detection", "normalize": "all"}),
        ("evaluation.flip", "vertical"),
        ("evaluation.flop", "horizontal"),
        ("training.steps", "5"),
    ],
)
def test_what_is_wrong(path: str, value: Any) -> None:
    assert list(VALIDATOR.iter_errors(changed(path, value)))


def test_the_options_of_every_loss_and_model_are_described() -> None:
    """An editor shows what each option means, its default, and what each name is."""
    for kind, section, table in (("loss", "TermSpec", LOSSES), ("model", "StudentSpec", MODELS)):
        branches = SCHEMA["$defs"][section]["allOf"]
        by_name = {}
        for branch in branches:
            (condition,) = branch["if"]["properties"].values()
            by_name[condition.get("const")] = branch["then"]["properties"]["options"]
        for name in table:
            options = TABLES[kind].options(name)
            described = by_name[name]["properties"]
            assert set(described) == set(options)
            for key, option in described.items():
                assert option.get("description"), f"{kind} {name}: {key} is not described in its docstring"
                assert "default" in option or key in by_name[name].get("required", ()) or "$ref" in option, key
    names = SCHEMA["$defs"]["TermSpec"]["properties"]["method"]["anyOf"]
    assert all(choice["description"] for choice in names)
