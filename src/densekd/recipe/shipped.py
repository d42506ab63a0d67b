"""Recipes by name: a path, a run folder, a recipe that comes with densekd, or a preset."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from densekd.errors import RecipeError
from densekd.presets import PRESETS
from densekd.recipe.reading import load_recipe, parse_recipe
from densekd.recipe.sections import Recipe


def named_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by whatever names it, and apply overrides.

    Args:
        name: a YAML file, a run folder, the name of a shipped recipe, or of a preset.
        overrides: ``key.path=value``, in their order.

    Raises:
        RecipeError: no such recipe, or a wrong one.
    """
    preset = PRESETS.get(str(name))
    # A file or folder of this name comes first.
    if preset is not None and not Path(name).exists():
        return parse_recipe(preset.content, str(name), overrides)
    return load_recipe(find_recipe(name), overrides)


def find_recipe(name: str | Path) -> Path:
    """Return the file of a recipe.

    Args:
        name: a YAML file, a run folder, or the name of a shipped recipe.

    Raises:
        RecipeError: none of these; the message names similar ones.
    """
    path = Path(name)
    if (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
    return shipped_recipe(str(name))


def shipped_recipe(name: str) -> Path:
    """Find a recipe that comes with densekd: in the wheel, or beside ``src/`` in a checkout.

    Raises:
        RecipeError: no shipped recipe has this name; the message names similar ones.
    """
    package = Path(__file__).parents[1]
    in_wheel, in_checkout = package / "recipes", package.parents[1] / "recipes"
    folder = in_wheel if in_wheel.is_dir() else in_checkout
    known = {str(file.relative_to(folder).with_suffix("")): file for file in folder.rglob("*.yaml")}
    if name not in known:
        # Several hundred names help nobody who mistyped a path.
        near = get_close_matches(name, [*known, *PRESETS], n=1)
        meant = f" Did you mean '{near[0]}'?" if near else ""
        raise RecipeError(
            f"'{name}' is no recipe file, no run folder, no shipped recipe and no preset; 'densekd recipes' lists "
            f"them.{meant}"
        )
    return known[name]
