"""Reading a recipe and changing it; what is wrong is said in the words of the file."""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from densekd.errors import RecipeError
from densekd.parsers import EncodingError, NotAFileError, YamlDumper, load_text, parse_yaml
from densekd.parsers.yaml_files import MOST_MEGABYTES
from densekd.recipe.complaints import complaints
from densekd.recipe.old_keys import rename_keys, rename_override
from densekd.recipe.sections import EvaluationSpec, Recipe
from densekd.seal import was_changed

# Keys that may hold a single value, and where this belongs when an override sets another part:
# weight.warmup=100.
_LONGER_FORMS = {"weight": "value", "adapter": "name"}

# Neither counts nor weights come near it.
_MOST = 1e15
# A number beyond was mistyped, and nothing counts so far.
_MOST_STEPS = 10**9


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key.path=value`` overrides.

    Raises:
        RecipeError: a missing or malformed file, an unknown key (the message lists the known ones),
            a wrong value.
    """
    try:
        text = load_text(path, MOST_MEGABYTES)
        _require_unchanged(text, path)
        content = parse_yaml(text)
    except FileNotFoundError as error:
        raise RecipeError(
            f"{path}: there is no such recipe; 'densekd recipes' lists those that have a name."
        ) from error
    except NotAFileError as error:
        if path.is_dir():
            raise RecipeError(
                f"{path}: a folder without recipe.yaml, so it is no run folder. Of images: densekd init {path}."
            ) from error
        raise RecipeError(f"{path}: {error}, and a recipe is a file.") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}).") from error
    except EncodingError as error:
        raise RecipeError(f"{path}: no text in UTF-8, which a recipe is ({error}).") from error
    except ValueError as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a recipe is a mapping; see recipes/ for examples.")
    return parse_recipe(content, str(path), overrides)


def _require_unchanged(text: str, path: Path) -> None:
    """Compare the recipe of a run with its checksum; that of a copy elsewhere, which may be edited, is not looked at.

    Raises:
        RecipeError: it was changed.
    """
    if (path.parent / "environment.json").exists() and was_changed(text):
        raise RecipeError(
            f"{path}: not what was written when its training began. Put back a copy; where it was edited on purpose, "
            "remove its first line, the checksum."
        )


def parse_recipe(content: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> Recipe:
    """Apply ``key.path=value`` overrides to the content of a recipe, and check it.

    Args:
        content: plain data; it is not changed.
        where: its source, for the message.
        overrides: applied in their order.

    Raises:
        RecipeError: as :func:`load_recipe`.
    """
    changed = copy.deepcopy(dict(content))
    # Old keys first, so that an override of today's key meets what the file says; then those of the
    # overrides.
    rename_keys(changed)
    for override in overrides:
        _override(changed, override)
    rename_keys(changed)
    _require_sane(changed, where, ())
    try:
        recipe = Recipe.model_validate(changed)
    except ValidationError as error:
        lines = [f"{where}:"]
        lines += [f"  {line}" for line in complaints(error, Recipe, changed)]
        raise RecipeError("\n".join(lines)) from error
    _require_consistent(recipe, where)
    return recipe


def _require_sane(content: Any, where: str, path: tuple[str, ...]) -> None:
    """Refuse numbers that nothing can have, wherever they stand, and keys that are no names.

    Raises:
        RecipeError: names the key.
    """
    if isinstance(content, Mapping):
        for key, value in content.items():
            # Numbers are keys of label values and schedules.
            if not isinstance(key, str | int | float):
                raise RecipeError(f"{where}: {'.'.join((*path, str(key)))}: a key is a name, not {key!r:.40}.")
            _require_sane(value, where, (*path, str(key)))
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            _require_sane(value, where, (*path, str(index)))
    elif isinstance(content, int | float) and abs(content) > _MOST and math.isfinite(content):
        # Generators take seeds of 64 bits.
        if path[-1:] == ("seed",) and isinstance(content, int) and abs(content) < 2**64:
            return
        raise RecipeError(f"{where}: {'.'.join(path)}: a number of at most {_MOST:.0e}, got {content:.3g}.")


def _require_consistent(recipe: Recipe, where: str) -> None:
    """Check what no section can know alone.

    Raises:
        RecipeError: a section that needs another one.
    """
    for index, term in enumerate(recipe.distill):
        try:
            term.fan_out()
        except RecipeError as error:
            raise RecipeError(f"{where}: distill.{index}: {error}") from error
    if recipe.distill and recipe.teacher is None:
        raise RecipeError(f"{where}: distill needs a teacher.")
    if recipe.teacher is not None and not recipe.distill:
        raise RecipeError(f"{where}: there is a teacher but nothing under distill; add a term or remove the teacher.")
    if recipe.student.inherit and recipe.teacher is None:
        raise RecipeError(f"{where}: student.inherit needs a teacher.")
    if recipe.measures_baseline and recipe.teacher is None:
        raise RecipeError(
            f"{where}: baseline: {recipe.baseline} gives the student alone the time that a distillation takes, and "
            "there is nothing under distill."
        )
    if recipe.baseline_steps is not None and not recipe.trains_baseline:
        raise RecipeError(f"{where}: baseline_steps needs baseline: train, equal-seconds or both.")
    if not recipe.task.has_own_loss and not recipe.distill:
        raise RecipeError(
            f"{where}: task.kind is none and there is nothing under distill, so there is nothing to learn."
        )
    if recipe.training.steps is not None and recipe.training.steps > _MOST_STEPS:
        raise RecipeError(f"{where}: training.steps: an integer of at most {_MOST_STEPS}, got {recipe.training.steps}.")
    # A package or a checkpoint of a run says itself what model it is of.
    if recipe.student.model is None and recipe.student.checkpoint is None:
        raise RecipeError(f"{where}: student.model is missing.")


def change_evaluation(spec: EvaluationSpec, changes: Sequence[str]) -> EvaluationSpec:
    """Apply ``key=value`` changes to the evaluation section; the task checks them.

    Raises:
        RecipeError: a change that is not ``key=value``.
    """
    content: dict[str, Any] = spec.model_dump(mode="json")
    for change in changes:
        _override(content, change)
    try:
        return EvaluationSpec.model_validate(content)
    except ValidationError as error:
        raise RecipeError("\n".join(complaints(error, EvaluationSpec, content))) from error


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML, every default written out."""
    text: str = yaml.dump(recipe.model_dump(mode="json"), Dumper=YamlDumper, sort_keys=False, width=120)
    return text


def _override(content: dict[str, Any], override: str) -> None:
    """Apply one ``key.path=value``; sections that are not there yet are made.

    Raises:
        RecipeError: no such form, or a path that leads nowhere.
    """
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"'{override}' is no override; write key.path=value, for instance training.steps=100.")
    try:
        parsed = parse_yaml(value)
    except ValueError as error:
        raise RecipeError(f"'{override}': the value is not YAML: {error}") from error
    *parents, last = rename_override(content, key).split(".")
    place: Any = content
    for parent in parents:
        place = _step_into(place, parent, key)
    if isinstance(place, list):
        place[_index(place, last, key)] = parsed
    else:
        place[last] = parsed


def _step_into(place: Any, part: str, key: str) -> Any:
    """Return the value of a part of a key's path, in the form in which it has parts of its own."""
    if isinstance(place, list):
        return place[_index(place, part, key)]
    if place.get(part) is None:
        place[part] = {}
    if part in _LONGER_FORMS and not isinstance(place[part], dict):
        place[part] = {_LONGER_FORMS[part]: place[part]}
    if not isinstance(place[part], (dict, list)):
        raise RecipeError(f"{key}: '{part}' is {place[part]!r} and has no parts.")
    return place[part]


def _index(place: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise RecipeError(f"{key}: '{part}' is no index of a list of {len(place)}.")
    return int(part)
