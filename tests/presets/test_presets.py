"""Presets as recipes: all are read and planned, one of each kind is built and takes a step."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from recipes_on_tiny_data import on_tiny_data
from typer.testing import CliRunner

from densekd.builders.build import build
from densekd.builders.terms import plan_terms
from densekd.cli.app import app
from densekd.cli.presets import find_presets, preset_reference
from densekd.data.sampler import Draw
from densekd.errors import RecipeError, UserError
from densekd.models import MODELS
from densekd.models.published_files import PUBLISHED_FILES
from densekd.presets import PRESETS, Preset
from densekd.presets.write import to_yaml
from densekd.recipe import parse_recipe
from densekd.recipe.shipped import named_recipe
from densekd.registry import construct

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path for path in (ROOT / "recipes").rglob("*.yaml") if path.parent.name != "recipes")


def one_of_each_kind() -> list[str]:
    """Return a preset of each system, model and method; students alone differ in nothing here."""
    kinds: dict[tuple[str, ...], str] = {}
    for name, preset in PRESETS.items():
        model = preset.content["student"]["model"]
        family = preset.method.partition("-")[0]
        kinds.setdefault((preset.system, model, family, preset.method.rpartition("-")[2][:2]), name)
    return sorted(set(kinds.values()))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_file_is_the_presets(path: Path) -> None:
    preset = PRESETS[path.stem]
    assert path.read_text(encoding="utf-8") == to_yaml(preset)
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == preset.content


def test_every_preset_is_a_recipe_with_terms() -> None:
    for name in PRESETS:
        recipe = named_recipe(name)
        assert recipe.name == name
        plan_terms(recipe)


def test_every_student_is_built() -> None:
    students = {}
    for preset in PRESETS.values():
        student = preset.content["student"]
        students[student["model"], str(student["options"])] = student
    for student in students.values():
        with torch.device("meta"):
            construct(MODELS[student["model"]], student["options"], {"num_classes": 19}, "student")


def test_files_are_published_ones() -> None:
    for name, preset in PRESETS.items():
        for model in ("student", "teacher"):
            for key in ("pretrained", "checkpoint"):
                file = preset.content.get(model, {}).get(key)
                if file is not None and file.startswith("checkpoints/"):
                    assert file in PUBLISHED_FILES, f"{name}: {file}"


@pytest.mark.parametrize("name", one_of_each_kind())
def test_a_preset_is_built_and_steps(name: str, data_root: Path, boxes_root: Path) -> None:
    content: dict[str, Any] = yaml.safe_load(to_yaml(PRESETS[name]))
    roots = {"folder": data_root, "coco": boxes_root}
    built = build(parse_recipe(on_tiny_data(content, roots), name))
    built.distiller._trainer = None
    batch = built.training.collate([built.training[Draw(k, k)] for k in range(2)])
    result = built.distiller.training_step(batch, 0)
    result["loss"].backward()
    assert torch.isfinite(result["loss"])
    assert all(p.grad is not None for p in built.distiller.parameters() if p.requires_grad)


def test_names_and_overrides() -> None:
    assert named_recipe("hwd-psp-mobile-voc-cwd", ["training.steps=7"]).training.steps == 7
    assert named_recipe("cityscapes/td-r18-cwd").name == named_recipe("td-r18-cwd").name
    with pytest.raises(RecipeError, match="Did you mean 'td-r18-cwd'"):
        named_recipe("td-r18-cdw")


def test_finding_presets() -> None:
    assert [preset.name for preset in find_presets("td-*")] == ["td-r18-cwd", "td-r18-cwd-gan-pixel", "td-r18-cwd-feat"]
    assert [preset.name for preset in find_presets("td-r18-cwd", one=True)] == ["td-r18-cwd"]
    with pytest.raises(UserError, match="means 384 recipes"):
        find_presets("hwd-", one=True)
    with pytest.raises(UserError, match="No recipe is called 'x-y'"):
        find_presets("x-y")


def test_the_commands() -> None:
    listed = CliRunner().invoke(app, ["recipes", "cirkd-r18-cwd"])
    assert listed.exit_code == 0
    assert "75.55 mIoU" in listed.output
    written = CliRunner().invoke(app, ["recipes", "cirkd-r18-cwd", "--write"])
    assert written.output == to_yaml(PRESETS["cirkd-r18-cwd"])


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    assert page == preset_reference(), "densekd docs presets > docs/presets.md"


def test_a_preset_is_immutable() -> None:
    preset = PRESETS["td-r18-cwd"]
    assert isinstance(preset, Preset)
    before = to_yaml(preset)
    named_recipe("td-r18-cwd", ["distill.0.weight=9"])
    assert to_yaml(preset) == before
