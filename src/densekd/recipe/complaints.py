"""Error messages of a recipe: the key, what belongs there, what was found."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from densekd.errors import suggest
from densekd.signature import as_yaml, expected

# Errors whose own message says more than the type of the field.
_OWN_MESSAGE = ("value_error", "string_pattern_mismatch")


def complaints(
    error: ValidationError,
    section: type[BaseModel],
    content: Mapping[str, Any],
) -> list[str]:
    """Turn pydantic's errors into lines for people, each once.

    Args:
        error: what pydantic found.
        section: the class that was validated.
        content: what was validated.
    """
    # Every branch of a choice of types reports an error of its own.
    return list(dict.fromkeys(_complain(one, section, content) for one in error.errors()))


def _complain(error: Any, section: type[BaseModel], content: Mapping[str, Any]) -> str:
    location = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        *parents, last = error["loc"]
        inner = _follow(section, content, parents).section
        return f"{location}: unknown key. {suggest(str(last), inner.model_fields)}"
    if error["type"] == "invalid_key":
        return f"{location}: a key is a name, not {error['input']!r:.40}."
    if error["type"] == "missing" and isinstance(error["loc"][-1], str):
        return f"{location}: missing."
    # A list that is too short lacks an item, and all of it is shown.
    is_short = error["type"] == "missing"
    place = _follow(section, content, error["loc"][:-1] if is_short else error["loc"])
    wanted = expected(place.annotation)
    if not place.path or error["type"] in _OWN_MESSAGE:
        wanted = error["msg"].removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch":
        wanted = "letters, digits, '_', '-' and '.', and a letter, digit or '_' first"
    return f"{'.'.join(place.path)}: {wanted}, got {as_yaml(place.value)}."


class _Place(NamedTuple):
    """A place in a recipe: the section around it, its path, its value, what belongs there."""

    section: type[BaseModel]
    path: tuple[str, ...]
    value: Any
    annotation: Any


def _follow(section: type[BaseModel], value: Any, location: Sequence[int | str]) -> _Place:
    """Follow the location of an error as far as it consists of keys that are written in the recipe.

    Behind these pydantic names the branches of a choice of types, and the fields of what was
    written in a shorter form.
    """
    path: list[str] = []
    annotation: Any = section
    for step in location:
        if isinstance(step, str):
            if step not in section.model_fields or not isinstance(value, Mapping):
                break
            annotation = written_type(section.model_fields[step])
        elif sections_in(annotation):
            # Lists of sections have one kind of items.
            annotation = get_args(annotation)[0]
        else:
            break
        path.append(str(step))
        value = value[step]
        inner = sections_in(annotation)
        section = inner[0] if inner else section
    return _Place(section, tuple(path), value, annotation)


def written_type(field: FieldInfo) -> Any:
    """Return the type of a field with its constraints, as it would be annotated."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """List the sections that a field's type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for argument in get_args(annotation):
        found += sections_in(argument)
    return found
