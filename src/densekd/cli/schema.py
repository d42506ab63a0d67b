"""JSON schema of a recipe for editors: every key, and every option of every row of a table."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from densekd.cli.tables import TABLES, Table, evaluation_options
from densekd.recipe import Recipe
from densekd.signature import Option, json_schema

Schema = dict[str, Any]
_DEFAULT_TASK = "segmentation"
_OWN = {"type": "string", "pattern": "^[^:]+:.+$", "description": "your own: package.module:Name"}


def recipe_schema() -> Schema:
    """Return the JSON schema of a recipe.

    Pydantic describes the sections. Where a key names a row of a table, the options of each row
    follow: ``if`` the key is this name, ``then`` the options are these.
    """
    schema = Recipe.model_json_schema()
    parts = schema["$defs"]
    components = _Components(parts)
    # Losses, models and datasets: a key names the row, and the section has its options.
    for kind, section, key in (
        ("loss", "TermSpec", "method"),
        ("model", "StudentSpec", "model"),
        ("model", "TeacherSpec", "model"),
        ("dataset", "DataSpec", "dataset"),
    ):
        _list_names(TABLES[kind], parts[section], key)
        parts[section]["allOf"] = components.choices(kind, key)
    # Adapters and loggers: a name, or a mapping of name and options.
    parts["Adapter"] = components.component("adapter", parts["ComponentSpec"])
    parts["Logger"] = components.component("logger", parts["ComponentSpec"])
    term = parts["TermSpec"]["properties"]
    term["adapter"] = {
        "$ref": "#/$defs/Adapter",
        "description": term["adapter"]["description"],
        "default": "none",
    }
    schema["properties"]["logging"]["items"] = {"$ref": "#/$defs/Logger"}
    # Tasks: their options are keys of the sections task and evaluation.
    _list_names(TABLES["task"], parts["TaskSpec"], "kind")
    kind_of_task = parts["TaskSpec"]["properties"]["kind"]
    kind_of_task["anyOf"].append({"const": "none", "description": "no loss of its own"})
    parts["TaskSpec"]["allOf"] = components.tasks(kind_of_task)
    schema["allOf"] = components.evaluations()
    return schema


def sweep_schema() -> Schema:
    """Return the JSON schema of a sweep's file."""
    from densekd.sweep.sections import SweepSpec

    schema = SweepSpec.model_json_schema()
    # Without a name it is called after its file.
    schema["required"].remove("name")
    return schema


class _Components:
    """Schemas of the options of rows; dataclasses among them become definitions.

    Args:
        parts: the definitions of the schema, which are added to.
    """

    def __init__(self, parts: Schema) -> None:
        self.parts = parts

    def options(self, kind: str, name: str, options: Mapping[str, Option]) -> Schema:
        """Return the schema of the options of a row."""
        schema = json_schema(options)
        schema.pop("title")
        inner = schema.pop("$defs", {})
        text = json.dumps([schema, inner])
        # Two rows may have dataclasses of one name.
        for part in inner:
            text = text.replace(f'"#/$defs/{part}"', f'"#/$defs/{kind}.{name}.{part}"')
        renamed, inner = json.loads(text)
        for part, content in inner.items():
            self.parts[f"{kind}.{name}.{part}"] = content
        return dict(renamed)

    def choices(self, kind: str, key: str) -> list[Schema]:
        """Return the options of each row, for a mapping with its name under a key."""
        table = TABLES[kind]
        choices = []
        for name in table.rows:
            choices.append(self._choice(kind, name, key, {"const": name}))
        for source in table.sources or {}:
            prefixed = {"type": "string", "pattern": f"^{source}:"}
            choices.append(self._choice(kind, source, key, prefixed))
        return choices

    def component(self, kind: str, spec: Schema) -> Schema:
        """Return the schema of a component: the name of a row, or a mapping of name and options."""
        mapping = copy.deepcopy(spec)
        _list_names(TABLES[kind], mapping, "name")
        mapping["allOf"] = self.choices(kind, "name")
        return {"anyOf": [mapping["properties"]["name"], mapping]}

    def tasks(self, kind: Schema) -> list[Schema]:
        """Return the keys of ``task`` for each task."""
        choices = []
        for name in TABLES["task"].rows:
            properties = self.options("task", name, TABLES["task"].options(name))["properties"]
            allowed = {"properties": {"kind": kind, **properties}, "additionalProperties": False}
            condition: Schema = {"properties": {"kind": {"const": name}}}
            if name != _DEFAULT_TASK:
                condition["required"] = ["kind"]
            choices.append({"if": condition, "then": allowed})
        return choices

    def evaluations(self) -> list[Schema]:
        """Return the section ``evaluation`` for each task."""
        choices = []
        for name in TABLES["task"].rows:
            options = self.options("evaluation", name, evaluation_options(name))
            task: Schema = {"properties": {"kind": {"const": name}}}
            condition: Schema = {"properties": {"task": task}}
            if name != _DEFAULT_TASK:
                task["required"] = ["kind"]
                condition["required"] = ["task"]
            choices.append({"if": condition, "then": {"properties": {"evaluation": options}}})
        return choices

    def _choice(self, kind: str, name: str, key: str, condition: Schema) -> Schema:
        options = self.options(kind, name, TABLES[kind].options(name))
        return {
            "if": {"properties": {key: condition}, "required": [key]},
            "then": {"properties": {"options": options}},
        }


def _list_names(table: Table, section: Schema, key: str) -> None:
    """Describe a key that names a row by all names, each with what it is."""
    field = section["properties"][key]
    choices: list[Schema] = []
    for name in table.rows:
        choices.append({"const": name, "description": table.summary(name)})
    for source in table.sources or {}:
        prefixed = {"type": "string", "pattern": f"^{source}:"}
        choices.append({**prefixed, "description": table.summary(source)})
    choices.append(_OWN)
    if any(choice.get("type") == "null" for choice in field.get("anyOf", ())):
        choices.append({"type": "null"})
    described: Schema = {"anyOf": choices}
    for kept in ("description", "default"):
        if kept in field:
            described[kept] = field[kept]
    section["properties"][key] = described
