"""Options of a constructor as a schema: types from annotations, meanings from the docstring."""

import dataclasses
import enum
import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin

import annotated_types
import typing_extensions
from pydantic import ConfigDict, Field, Strict, TypeAdapter, WrapValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# YAML knows the difference between these, so no value is turned from one into another.
_SCALARS = (bool, int, float, str)
_COLLECTIONS = (tuple, list, dict, set, frozenset, Sequence, Mapping, Collection)

_PLURALS = {
    "a number": "numbers",
    "an integer": "integers",
    "a string": "strings",
    "a list": "lists",
    "a mapping": "mappings",
    "one of": "any of",
}

_SECTION = re.compile(
    r"^(Args|Shape|Raises|Returns|Yields|Examples?|Note|References?):",
    re.MULTILINE,
)
_ARGUMENT = re.compile(r"^ {4}(?P<names>\w+(?:, \w+)*): ", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Option:
    """One argument of a constructor.

    Args:
        annotation: its type; ``Any`` where there is none.
        default: ``inspect.Parameter.empty`` where it must be given.
        description: its lines under ``Args:`` in the docstring, as one line.
    """

    annotation: Any
    default: Any
    description: str

    @property
    def required(self) -> bool:
        """Tell whether the option has no default."""
        return self.default is inspect.Parameter.empty


def read_options(factory: Callable[..., Any]) -> dict[str, Option]:
    """Read the named arguments of a class or function, in order, without ``**kwargs``."""
    descriptions = describe_arguments(inspect.getdoc(factory_of(factory)) or "")
    options = {}
    for name, parameter in _signature(factory).parameters.items():
        if parameter.kind not in _NAMED:
            continue
        annotation = parameter.annotation
        if annotation is parameter.empty or isinstance(annotation, str):
            annotation = Any
        options[name] = Option(annotation, parameter.default, descriptions.get(name, ""))
    return options


def factory_of(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Return the class or function that a ``functools.partial`` calls, or ``factory`` itself."""
    while isinstance(factory, partial):
        factory = factory.func
    return factory


def summary(factory: Callable[..., Any]) -> str:
    """Return the first paragraph of a docstring on one line: what a class or function is."""
    docstring = inspect.getdoc(factory_of(factory)) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def docstring_sections(docstring: str) -> tuple[str, dict[str, str]]:
    """Split a Google docstring into its text and its sections (``Args``, ``Shape``, ...)."""
    text, *parts = _SECTION.split(inspect.cleandoc(docstring))
    return text.strip(), dict(zip(parts[::2], parts[1::2], strict=True))


def argument_entries(section: str) -> list[tuple[str, str]]:
    """Return the entries of a section ``Args``: name, or "name, name", and description."""
    # A blank line ends the list; what follows it describes no single argument.
    _, *parts = _ARGUMENT.split(section.strip("\n").partition("\n\n")[0])
    entries = []
    for names, text in zip(parts[::2], parts[1::2], strict=True):
        entries.append((names, " ".join(text.split())))
    return entries


def describe_arguments(docstring: str) -> dict[str, str]:
    """Return the description of each argument under ``Args:`` of a Google docstring."""
    _, sections = docstring_sections(docstring)
    descriptions = {}
    for names, text in argument_entries(sections.get("Args", "")):
        for name in names.split(", "):
            descriptions[name] = text
    return descriptions


def validate_options(options: Mapping[str, Option], values: Mapping[str, Any]) -> dict[str, Any]:
    """Check values against the types of options, and return them as these types.

    Numbers stay what they are: ``"4"`` is no number, ``12.5`` and ``4.0`` no integer, ``true``
        neither. Lists become
    tuples and mappings dataclasses where the annotation says so. Types that no recipe can write are
    not checked.

    Raises:
        pydantic.ValidationError: all that is wrong, unknown and missing.
    """
    adapter = TypeAdapter(_typed_dict("Options", options))
    checked: dict[str, Any] = adapter.validate_python(dict(values))
    return checked


def json_schema(options: Mapping[str, Option]) -> dict[str, Any]:
    """Return the JSON schema of a mapping of options, with descriptions and defaults."""
    return TypeAdapter(_typed_dict("Options", options)).json_schema()


def option_at(
    options: Mapping[str, Option],
    location: Sequence[int | str],
) -> tuple[list[str], Option]:
    """Follow the location of a pydantic error to its option, through nested dataclasses."""
    path = [str(location[0])]
    option = options[path[0]]
    for step in location[1:]:
        nested = nested_options(option.annotation)
        if step not in nested:
            break
        path.append(str(step))
        option = nested[path[-1]]
    return path, option


def options_at(
    options: Mapping[str, Option],
    location: Sequence[int | str],
) -> Mapping[str, Option]:
    """Return the options of the dataclass at a location; all of them at the empty one."""
    if not location:
        return options
    path, option = option_at(options, location)
    return nested_options(option.annotation) if len(path) == len(location) else {}


def nested_options(annotation: Any) -> dict[str, Option]:
    """Return the options of the dataclass in an annotation, or none."""
    if _is_dataclass(annotation):
        return read_options(annotation)
    for argument in get_args(annotation):
        nested = nested_options(argument)
        if nested:
            return nested
    return {}


def expected(annotation: Any) -> str:
    """Describe the values that an annotation allows: "a number greater than 0"."""
    simple = {
        bool: "true or false",
        int: "an integer",
        float: "a number",
        str: "a string",
        NoneType: "null",
    }
    if annotation in _SCALARS or annotation in (None, NoneType):
        return simple[annotation or NoneType]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for part in arguments[1:]:
            # What may be written is more than what the value becomes.
            written = getattr(part, "json_schema_input_type", PydanticUndefined)
            if written is not PydanticUndefined:
                return expected(written)
        limits = [limit for limit in map(_limit, _constraints(arguments[1:])) if limit]
        return " ".join([expected(arguments[0]), " and ".join(limits)]).strip()
    if origin is Literal:
        # A number may be written with and without quotes.
        return f"one of {', '.join(dict.fromkeys(map(str, arguments)))}"
    if origin in (Union, UnionType):
        return " or ".join(expected(argument) for argument in arguments)
    if _is_dataclass(annotation):
        return f"a mapping of {', '.join(read_options(annotation))}"
    if hasattr(annotation, "model_fields"):
        return "a mapping"
    if (origin or annotation) in (dict, Mapping):
        return "a mapping"
    if (origin or annotation) in _COLLECTIONS:
        return _expected_list(arguments)
    return f"a {getattr(annotation, '__name__', annotation)}"


def as_yaml(value: Any) -> str:
    """Write a value as a recipe does: null, true and false instead of Python's words, and lists."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    return repr(value)


def _expected_list(items: tuple[Any, ...]) -> str:
    kinds = list(dict.fromkeys(expected(item) for item in items if item is not Ellipsis))
    if not kinds:
        return "a list"
    if len(kinds) > 1:
        return f"a list of {', '.join(kinds)}"
    if " or " in kinds[0]:
        return f"a list, each {kinds[0]}"
    count = f"{len(items)} " if len(items) > 1 and Ellipsis not in items else ""
    return f"a list of {count}{_plural(kinds[0])}"


def _plural(kind: str) -> str:
    for one, many in _PLURALS.items():
        if kind.startswith(one):
            return kind.replace(one, many, 1)
    return kind


def _constraints(metadata: tuple[Any, ...]) -> list[Any]:
    """Return the single constraints of ``Annotated``: ``Field`` and intervals are taken apart."""
    constraints: list[Any] = []
    for one in metadata:
        if isinstance(one, FieldInfo):
            constraints += one.metadata
        elif isinstance(one, annotated_types.GroupedMetadata):
            constraints += list(one)
        else:
            constraints.append(one)
    return constraints


def _limit(constraint: Any) -> str:
    match constraint:
        case annotated_types.Gt(gt=value):
            return f"greater than {value}"
        case annotated_types.Ge(ge=value):
            return f"of at least {value}"
        case annotated_types.Lt(lt=value):
            return f"less than {value}"
        case annotated_types.Le(le=value):
            return f"of at most {value}"
        case annotated_types.MultipleOf(multiple_of=value):
            return f"that is a multiple of {value}"
        case annotated_types.MinLen(min_length=value):
            return f"with at least {value}"
        case annotated_types.MaxLen(max_length=value):
            return f"with at most {value}"
    return ""


def _signature(factory: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(factory, eval_str=True)
    except ValueError:
        # A function of C that does not say what it takes.
        return inspect.Signature()
    except (NameError, TypeError, SyntaxError):
        # An annotation that names what only a type checker imports: its options are not checked.
        return inspect.signature(factory)


def _typed_dict(name: str, options: Mapping[str, Option]) -> Any:
    """Build the ``TypedDict`` whose keys are options; defaults are for its schema alone."""
    fields: dict[str, Any] = {}
    for key, option in options.items():
        facts: dict[str, Any] = {}
        if _is_plain(option.default):
            facts["default"] = option.default
        field = Field(description=option.description or None, json_schema_extra=facts or None)
        kind: Any = Annotated[strict_type(option.annotation), field]
        fields[key] = kind if option.required else NotRequired[kind]
    # To a type checker a TypedDict is written out, not made.
    make_typed_dict: Any = typing_extensions.TypedDict
    made = make_typed_dict(name, fields)
    made.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)
    return made


def strict_type(annotation: Any) -> Any:
    """Return an annotation as a type that pydantic checks without conversions."""
    if annotation in _SCALARS:
        return Annotated[annotation, Strict()]
    if annotation in (None, NoneType) or annotation in _COLLECTIONS:
        return annotation
    if _is_dataclass(annotation):
        return _dataclass_type(annotation)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum | Path):
        return annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return annotation
    if origin is Annotated:
        inner = strict_type(arguments[0])
        return Any if inner is Any else Annotated[(inner, *arguments[1:])]
    items = tuple(item if item is Ellipsis else strict_type(item) for item in arguments)
    if origin in (Union, UnionType):
        return Union[items]  # noqa: UP007
    return origin[items] if origin in _COLLECTIONS else Any


def _dataclass_type(kind: Any) -> Any:
    """Return the type of a mapping that becomes a dataclass; an instance stays as it is."""

    def build(value: Any, validate: Callable[[Any], Any]) -> Any:
        return value if isinstance(value, kind) else kind(**validate(value))

    return Annotated[_typed_dict(kind.__name__, read_options(kind)), WrapValidator(build)]


def _is_dataclass(annotation: Any) -> bool:
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def _is_plain(value: Any) -> bool:
    """Tell whether a default can stand in a JSON schema."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
