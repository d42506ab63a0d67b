"""Reading a sweep file; what is wrong is said with file and key."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from densekd.errors import RecipeError
from densekd.parsers import EncodingError, NotAFileError
from densekd.parsers.yaml_files import load_yaml
from densekd.recipe.complaints import complaints
from densekd.sweep.sections import SweepSpec

_EXAMPLE = "recipe: camvid-r18quarter-cwd, axes: {seed: [0, 1, 2]}"


def load_sweep(path: Path) -> SweepSpec:
    """Read a sweep file.

    Raises:
        RecipeError: a missing or malformed file, an unknown key, a wrong value.
    """
    try:
        content = load_yaml(path)
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: there is no such sweep file.") from error
    except NotAFileError as error:
        raise RecipeError(f"{path}: {error}, and a sweep is a file.") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}).") from error
    except EncodingError as error:
        raise RecipeError(f"{path}: no text in UTF-8, which a sweep file is ({error}).") from error
    except ValueError as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a sweep is a mapping: {_EXAMPLE}.")
    return parse_sweep(content, path)


def parse_sweep(content: dict[str, Any], path: Path) -> SweepSpec:
    """Check the content of a sweep file, which is called after its file where it has no name.

    Raises:
        RecipeError: an unknown key or a wrong value.
    """
    named = {"name": path.stem, **content}
    try:
        return SweepSpec.model_validate(named)
    except ValidationError as error:
        lines = [f"  {line}" for line in complaints(error, SweepSpec, named)]
        raise RecipeError("\n".join([f"{path}:", *lines])) from error
