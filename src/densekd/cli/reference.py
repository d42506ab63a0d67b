"""Reference of a recipe as Markdown: every key with type, default and description, and every row of every table."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from densekd.cli.catalogue import loss_section, markdown
from densekd.cli.tables import TABLES, Table, evaluation_options
from densekd.errors import RecipeError, suggest
from densekd.losses import LOSSES
from densekd.models.backbones import BACKBONES
from densekd.recipe import Recipe
from densekd.recipe.complaints import sections_in, written_type
from densekd.signature import Option, as_yaml, docstring_sections, expected, factory_of

_HEAD = """\
# Keys of a recipe

Every key, with what it may be and its default; *required* where it has none. This file is generated:
`densekd docs recipe > docs/recipe.md`. On the command line a key is written with its path: `training.steps=100`,
`distill.0.weight=3`. `package.module:Name` stands for a class or function of yours wherever a table names one; a module
in the current folder is found. Editors complete and check recipes by `docs/recipe.schema.json` (`densekd schema`)."""

_COLUMNS = "| key | what it may be | default | meaning |\n|---|---|---|---|"


def recipe_reference() -> str:
    """Return all sections of a recipe, then the options of what tables name."""
    blocks = [_HEAD, "## The whole", _fields(Recipe)]
    for path, section in _sections(Recipe, ""):
        blocks += [f"## {path}", _docstring(section), _fields(section)]
        if path in ("task", "evaluation"):
            for task in TABLES["task"].rows:
                options = TABLES["task"].options(task) if path == "task" else evaluation_options(task)
                blocks += [f"With `task.kind: {task}`:", _options(options) or "none."]
    for kind, table in TABLES.items():
        if kind not in ("loss", "task"):
            blocks += [f"## {kind.capitalize()}s", f"Rows for `{table.key}`; options under `{table.options_key}`."]
            if kind == "model":
                names = ", ".join(f"`{name}`" for name in BACKBONES)
                blocks.append(f"`densekd.models.backbones.BACKBONES`, all that detectors take: {names}.")
            blocks += _rows(table)
    blocks.append("## Losses\n\nRows for `distill.*.method` and their options: see [losses.md](losses.md).")
    return "\n\n".join(block for block in blocks if block) + "\n"


def component_reference(kind: str, name: str) -> str:
    """Return one row of a table: its docstring and its options.

    Raises:
        RecipeError: an unknown kind or name.
    """
    if kind not in TABLES:
        raise RecipeError(f"There is no reference of '{kind}'. {suggest(kind, ['recipe', *TABLES])}")
    table = TABLES[kind]
    names = [*table.rows, *(table.sources or {})]
    name = name.removesuffix(":")
    if name not in names:
        raise RecipeError(f"Unknown {kind} '{name}'. {suggest(name, names)}")
    if kind == "loss":
        return loss_section(name, LOSSES[name]) + "\n"
    factory: Any = table.rows.get(name) or (table.sources or {})[name]
    text, _ = docstring_sections(inspect.getdoc(factory_of(factory)) or "")
    blocks = [f"## {name}", markdown(text), _options(table.options(name))]
    return "\n\n".join(block for block in blocks if block) + "\n"


def table_reference(kind: str) -> str:
    """Return the names of a table, each with what it is.

    Raises:
        RecipeError: an unknown kind.
    """
    if kind not in TABLES:
        raise RecipeError(f"There is no reference of '{kind}'. {suggest(kind, ['recipe', *TABLES])}")
    table = TABLES[kind]
    lines = [f"- `{name}`: {markdown(table.summary(name))}" for name in table.rows]
    lines += [f"- `{source}:NAME`: {markdown(table.summary(source))}" for source in table.sources or {}]
    return "\n".join(lines) + "\n"


def _sections(section: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section with its path, from the outside in."""
    for name, field in section.model_fields.items():
        for inner in sections_in(field.annotation):
            # A component has a name and options, which its own table describes.
            if "options" in inner.model_fields and len(inner.model_fields) == 2:
                continue
            place = f"{path}{name}"
            if get_args(field.annotation) and Ellipsis in get_args(field.annotation):
                place += ".*"
            yield place, inner
            yield from _sections(inner, f"{place}.")


def _fields(section: type[BaseModel]) -> str:
    """Return the keys of a section as a table."""
    rows = [_COLUMNS]
    for name, field in section.model_fields.items():
        default = "*required*" if field.is_required() else _default(field)
        rows.append(_row(name, expected(written_type(field)), default, field.description or _meaning(field)))
    return "\n".join(rows) if len(rows) > 1 else ""


def _options(options: Mapping[str, Option]) -> str:
    """Return the options of a constructor as a table."""
    rows = [_COLUMNS]
    for name, option in options.items():
        default = "*required*" if option.required else _shown(option.default)
        rows.append(_row(name, expected(option.annotation), default, option.description))
    return "\n".join(rows) if len(rows) > 1 else ""


def _rows(table: Table) -> list[str]:
    """Return every row of a table with its options."""
    blocks = []
    for name in (*table.rows, *(table.sources or {})):
        shown = f"`{name}:NAME`" if name in (table.sources or {}) else f"`{name}`"
        blocks += [f"**{shown}**: {markdown(table.summary(name))}", _options(table.options(name))]
    return blocks


def _row(name: str, kind: str, default: str, meaning: str) -> str:
    cells = (f"`{name}`", kind, default, markdown(meaning))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
        # A section of its own says its defaults; a component is named.
        return _shown(value["name"]) if "name" in value else ""
    if isinstance(value, tuple):
        value = [part.name if hasattr(part, "name") else part for part in value]
    return _shown(value)


def _shown(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else f"`{as_yaml(value)}`"


def _meaning(field: FieldInfo) -> str:
    """Return what a section is, where the key that holds it has no description."""
    inner = sections_in(field.annotation)
    return _docstring(inner[0]).partition("\n")[0] if inner else ""


def _docstring(section: type[BaseModel]) -> str:
    return inspect.getdoc(section) or ""
