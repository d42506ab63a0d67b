"""Registry: a name becomes a class or function of a table; its signature is its schema."""

import importlib
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from densekd.doors import Door, declares, is_standard_library
from densekd.errors import RecipeError, UserError, suggest
from densekd.own_modules import import_own
from densekd.signature import (
    Option,
    as_yaml,
    expected,
    factory_of,
    option_at,
    options_at,
    read_options,
    validate_options,
)
from densekd.trust import require_trust


def resolve(
    name: str,
    table: Mapping[str, Callable[..., Any]],
    kind: str,
    where: str = "",
    door: Door | None = None,
) -> Callable[..., Any]:
    """Find what a name means: a key of a table, or ``package.module:Name``.

    A module that is not installed may lie in the current folder. Nothing is imported that a file names
    and no person, see :mod:`densekd.trust`; and what is imported is of the kind that is looked for.

    Args:
        name: as written in a recipe.
        table: the known names of this kind.
        kind: what the name stands for ("loss", "model", ...), for the message.
        where: key of the recipe that has the name, for the message: ``distill.0``.
        door: what an object of the user's must be; None: only names of the table are known.

    Raises:
        RecipeError: unknown name, a module or attribute that cannot be imported, or one of another kind.
        UserError: a file names a module that nobody said is trusted.
    """
    if ":" not in name or door is None:
        if name not in table:
            own = "" if door is None else " Your own: package.module:Name."
            raise RecipeError(_at(where, f"Unknown {kind} '{name}'. {suggest(name, table)}{own}"))
        return table[name]
    return _import_own(name, kind, where, door)


def _import_own(name: str, kind: str, where: str, door: Door) -> Callable[..., Any]:
    """Import an object of the user's, and check that it declares to be what is looked for."""
    module_name, _, attribute = name.partition(":")
    # Importing is running: of the standard library some modules do more than define things.
    if is_standard_library(module_name):
        raise RecipeError(
            _at(where, f"The {kind} '{name}' is Python's own, and nothing there is a {kind}; name {door.wanted}.")
        )
    require_trust(name)
    try:
        found = getattr(import_own(module_name), attribute)
    except Exception as error:  # a module runs when it is imported, and may raise anything
        reason = describe_own_error(error)
        raise RecipeError(_at(where, f"The {kind} '{name}' cannot be imported: {reason}.")) from error
    if not callable(found):
        is_a = type(found).__name__
        raise RecipeError(_at(where, f"The {kind} '{name}' is a {is_a}, not a class or function."))
    if not declares(found, door):
        raise RecipeError(_at(where, f"The {kind} '{name}' was not called: it has to be {door.wanted}."))
    return found  # type: ignore[no-any-return]


def _at(where: str, sentence: str) -> str:
    """Put the place in a recipe before a sentence, where there is one."""
    return f"{where}: {sentence[0].lower()}{sentence[1:]}" if where else sentence


def construct(
    factory: Callable[..., Any],
    options: Mapping[str, Any],
    supplied: Mapping[str, Any],
    where: str,
) -> Any:
    """Call a class or function with the user's options and what the build knows.

    The signature is the schema: names, types and ranges of the options are those of its
        annotations, see
    :func:`densekd.signature.validate_options`.

    Args:
        factory: a class or function.
        options: what the user wrote.
        supplied: what the build knows (channel counts, number of classes, ...); never the user's to
            set.
        where: place of the options in the recipe, for the message: ``distill.0.options``.

    Raises:
        RecipeError: an unknown, supplied or missing option, one of another type or out of range, or
            a value that the factory refuses (`ValueError`).
    """
    checked = check_options(factory, options, supplied, where)
    known = {name: supplied[name] for name in read_options(factory) if name in supplied}
    try:
        return factory(**known, **checked)
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{where}: {error}") from error
    except Exception as error:
        # Of our own classes this would be a mistake of ours; a user's may raise anything.
        if (getattr(factory_of(factory), "__module__", None) or "").partition(".")[0] == "densekd":
            raise
        raise RecipeError(f"{where}: {describe_own_error(error)}.") from error


def describe_own_error(error: BaseException) -> str:
    """Describe an error of a user's code: its name unless it goes without saying, and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    # An import that failed by its name alone reached no line of the user's; these say where they are.
    by_name = isinstance(error, ImportError | AttributeError | SyntaxError)
    if by_name or "importlib" in last.filename:
        return str(error)
    said = f"{type(error).__name__}: {error}"
    # An error in the call itself, of arguments that do not fit, has no line either.
    if "densekd" in Path(last.filename).parts:
        return said
    return f"{said} ({last.filename}, line {last.lineno})"


def check_options(
    factory: Callable[..., Any],
    options: Mapping[str, Any],
    supplied: Mapping[str, Any],
    where: str,
) -> dict[str, Any]:
    """Validate options against a signature, and return them as the types of its annotations.

    Args:
        factory: a class or function.
        options: what the user wrote.
        supplied: what is not the user's to set; its values are not read.
        where: place of the options in the recipe, for the message.

    Raises:
        RecipeError: all that is wrong with them, one line for each.
    """
    known = read_options(factory)
    for name in options:
        if name in known and name in supplied:
            raise RecipeError(f"{where}: '{name}' is measured from the models and data; remove it from the options.")
    free = {name: option for name, option in known.items() if name not in supplied}
    try:
        return validate_options(free, options)
    except ValidationError as error:
        problems = _explain(error, free, options, where)
        raise RecipeError("\n".join(problems)) from error


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
        install = f"pip install 'densekd[{extra}]'"
        raise UserError(f"This needs {error.name}, which is not installed: {install}.") from error


def _explain(
    error: ValidationError,
    options: Mapping[str, Option],
    values: Mapping[str, Any],
    where: str,
) -> list[str]:
    """Turn pydantic's errors into lines: the place, what belongs there, what was found."""
    wrong: list[str] = []
    missing: dict[str, list[str]] = {}
    for one in error.errors():
        *parents, last = one["loc"]
        place = ".".join([where, *map(str, parents)])
        known = options_at(options, parents)
        if one["type"] == "extra_forbidden" and (known or not parents):
            wrong.append(f"{place}: unknown option '{last}'. {suggest(str(last), known)}")
        elif one["type"] == "missing" and known:
            missing.setdefault(place, []).append(str(last))
        else:
            line = _explain_value(one, options, values, where)
            # Every branch of a choice of types reports an error of its own.
            if line not in wrong:
                wrong.append(line)
    if wrong:
        return wrong
    # Where a name is unknown, it is probably the missing one.
    lines = []
    for place, names in missing.items():
        lines.append(f"{place}: missing option {', '.join(names)}. {suggest('', options)}")
    return lines


def _explain_value(
    error: Any,
    options: Mapping[str, Option],
    values: Mapping[str, Any],
    where: str,
) -> str:
    path, option = option_at(options, error["loc"])
    got: Any = values
    for key in path:
        got = got[key]
    wanted = expected(option.annotation)
    if error["type"] in ("value_error", "assertion_error"):
        wanted = str(error["ctx"]["error"])
    return f"{'.'.join([where, *path])}: {wanted}, got {as_yaml(got)}."
