"""The reference of a recipe's keys, in docs and on the command line."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from densekd.cli.reference import component_reference, recipe_reference, table_reference
from densekd.cli.tables import TABLES
from densekd.errors import RecipeError
from densekd.recipe import Recipe
from densekd.recipe.complaints import sections_in

FILE = Path(__file__).parents[2] / "docs" / "recipe.md"


def test_the_file_is_what_the_command_prints() -> None:
    assert FILE.read_text(encoding="utf-8") == recipe_reference(), "densekd docs recipe > docs/recipe.md"


def test_every_key_is_there_and_described() -> None:
    text = recipe_reference()

    def check(section: type[BaseModel]) -> None:
        for name, field in section.model_fields.items():
            rows = [line for line in text.splitlines() if line.startswith(f"| `{name}` | ")]
            assert rows, name
            assert all(row.split(" | ")[3].strip(" |") for row in rows), f"{name} has no description"
            for inner in sections_in(field.annotation):
                check(inner)

    check(Recipe)
    assert "| `steps` | an integer of at least 1 or null | `null` | optimizer steps; this or seconds |" in text
    assert "| `top_k` | an integer of at least 0 | `0` | classes of the logits kept at each position; 0: all |" in text


@pytest.mark.parametrize("kind", list(TABLES))
def test_every_row_has_a_reference(kind: str) -> None:
    listed = table_reference(kind)
    for name in TABLES[kind].rows:
        assert f"- `{name}`: " in listed
        text = component_reference(kind, name)
        assert text.startswith(f"## {name}\n")
        for option in TABLES[kind].options(name):
            assert f"`{option}" in text
        for supplied in TABLES[kind].supplied:
            assert f"| `{supplied}` |" not in text


def test_a_source_of_models() -> None:
    assert component_reference("model", "timm:") == component_reference("model", "timm")
    assert "| `head` | one of fpn, psp, fcn, none | `fpn` | " in component_reference("model", "timm")


def test_what_is_not_there() -> None:
    with pytest.raises(RecipeError, match=r"There is no reference of 'los'\. Did you mean 'loss'\?"):
        table_reference("los")
    with pytest.raises(RecipeError, match=r"There is no reference of 'los'\. Did you mean 'loss'\?"):
        component_reference("los", "cwd")
    with pytest.raises(RecipeError, match=r"Unknown loss 'cdw'\. Did you mean 'cwd'\?"):
        component_reference("loss", "cdw")
