"""From a name to the thing it names: one table lookup, one open door, one check of arguments."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from densekd.errors import RecipeError, UserError, suggest


def resolve(name: str, table: Mapping[str, Callable[..., Any]], kind: str) -> Callable[..., Any]:
    """Find what ``name`` means: a key of ``table`` or ``package.module:Name``.

    Args:
        name: as written in a recipe.
        table: the known names of this kind.
        kind: what the name stands for ("loss", "model", ...), for the message.

    Raises:
        RecipeError: unknown name, or a module or attribute that cannot be imported.
    """
    if ":" not in name:
        if name not in table:
            raise RecipeError(f"Unknown {kind} '{name}'. {suggest(name, table)} Your own: package.module:Name.")
        return table[name]
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise RecipeError(f"The {kind} '{name}' cannot be imported: {error}.") from error
    if not callable(found):
        raise RecipeError(f"The {kind} '{name}' is a {type(found).__name__}, not a class or function.")
    return found  # type: ignore[no-any-return]


def construct(factory: Callable[..., Any], options: Mapping[str, Any], supplied: Mapping[str, Any], where: str) -> Any:
    """Call ``factory`` with the user's ``options`` and those of ``supplied`` that its signature names.

    The signature is the schema: an option that it does not name, or one that is supplied by the build, is an error.

    Args:
        factory: a class or function.
        options: what the user wrote.
        supplied: what the build knows (channel counts, number of classes, ...); never the user's to set.
        where: place in the recipe, for the message.

    Raises:
        RecipeError: an unknown, supplied or missing option, or a value that the factory refuses (`ValueError`).
    """
    parameters = inspect.signature(factory).parameters
    free = {name for name, p in parameters.items() if p.kind in _NAMED and name not in supplied}
    for option in options:
        if option in parameters and option in supplied:
            raise RecipeError(f"{where}: '{option}' is measured from the models and data; remove it from the options.")
        if option not in free:
            raise RecipeError(f"{where}: unknown option '{option}'. {suggest(option, free)}")
    given = {**{name: supplied[name] for name in parameters if name in supplied}, **options}
    missing = [n for n, p in parameters.items() if p.default is p.empty and p.kind in _NAMED and n not in given]
    if missing:
        raise RecipeError(f"{where}: missing option {', '.join(missing)}. {suggest('', free)}")
    try:
        return factory(**given)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{where}: {error}") from error


def optional_import(module: str, extra: str) -> Any:
    """Import a library that only some models or commands need.

    Args:
        module: its name.
        extra: the extra of densekd that installs it.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"This needs {error.name}, which is not installed: pip install 'densekd[{extra}]'.") from error


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
