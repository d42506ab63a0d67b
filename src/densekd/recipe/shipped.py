"""Recipe files by name: a path, a run folder, or the name of a recipe that comes with densekd."""

from pathlib import Path

from densekd.errors import RecipeError, suggest


def find_recipe(name: str | Path) -> Path:
    """Return the file of a recipe.

    Args:
        name: a YAML file, a run folder, or the name of a shipped recipe.

    Raises:
        RecipeError: none of these; the message lists the shipped ones.
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
        RecipeError: no shipped recipe has this name; the message lists them.
    """
    package = Path(__file__).parents[1]
    in_wheel, in_checkout = package / "recipes", package.parents[1] / "recipes"
    folder = in_wheel if in_wheel.is_dir() else in_checkout
    known = {str(file.relative_to(folder).with_suffix("")): file for file in folder.rglob("*.yaml")}
    if name not in known:
        raise RecipeError(f"'{name}' is no recipe file, no run folder and no shipped recipe. {suggest(name, known)}")
    return known[name]
