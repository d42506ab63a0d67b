"""``training.quantise`` of a recipe: words, sections, and what is refused."""

from typing import Any

import pytest
from training_runs import parsed

from densekd.builders.build import build
from densekd.errors import RecipeError
from densekd.quantize import plan_of
from densekd.recipe import dump_recipe, parse_recipe


@pytest.mark.parametrize("value", ["int8", {"bits": "int8"}, {}])
def test_the_word_is_the_section_with_its_defaults(recipe: dict[str, Any], value: object) -> None:
    recipe["training"]["quantise"] = value
    settings = parsed(recipe).training.quantise
    assert settings is not None
    assert settings.keep_float == ("last",)
    assert settings.calibrate == 32
    assert "quantise" in dump_recipe(parse_recipe(recipe, "test"))


@pytest.mark.parametrize("value", [None, "none", False])
def test_without_it_the_student_is_float(recipe: dict[str, Any], value: object) -> None:
    recipe["training"]["quantise"] = value
    assert parsed(recipe).training.quantise is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("int4", "int8"),
        ({"bits": "int8", "observer": "mse"}, "observer"),
        ({"freeze_observers": 1.5}, "freeze_observers"),
        ({"calibrate": 0}, "calibrate"),
        ({"momentum": 0}, "momentum"),
        ({"steps": "any"}, "power-of-two"),
    ],
)
def test_a_wrong_setting_is_named(recipe: dict[str, Any], value: object, said: str) -> None:
    recipe["training"]["quantise"] = value
    with pytest.raises(RecipeError, match=said):
        parsed(recipe)


def test_it_does_not_go_with_compile(recipe: dict[str, Any]) -> None:
    recipe["training"] |= {"quantise": "int8", "compile": "inductor"}
    with pytest.raises(RecipeError, match="quantise and compile exclude each other"):
        parsed(recipe)


def test_the_student_is_quantized_and_its_package_says_so(recipe: dict[str, Any]) -> None:
    recipe["training"]["quantise"] = {"activations": "int8", "keep_float": ["last", "head.top"]}
    built = build(parsed(recipe))
    plan = plan_of(built.distiller.student)
    assert plan is not None
    assert plan.activations == "int8"
    assert built.package.quantization == plan.entries()
    assert built.quantization is not None
    assert not [name for name in plan.layers if name.startswith("head.top")]
    assert any(note.startswith("quantization: ") for note in built.notes)


def test_the_package_repeats_the_licenses_that_the_recipe_names(recipe: dict[str, Any]) -> None:
    assert "licenses" not in build(parsed(recipe)).package.entries()
    recipe["data"]["license"] = "for research alone"
    model = {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 16}}
    recipe["teacher"] = {**model, "checkpoint": "untrained", "license": "Apache-2.0"}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    assert build(parsed(recipe)).package.licenses == {"data": "for research alone", "teacher": "Apache-2.0"}


def test_the_float_training_is_the_same_as_ever(recipe: dict[str, Any]) -> None:
    built = build(parsed(recipe))
    assert plan_of(built.distiller.student) is None
    assert built.package.quantization is None
    assert "quantization" not in built.package.entries()
    assert built.quantization is None
