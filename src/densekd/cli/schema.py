"""JSON schema of a recipe for editors: every key, and every option of every row of a table."""

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

    Pydantic describes the sections. Where a key names a row of a table, the options of each row follow: ``if`` the key
    is this name, ``then`` the options are these.
    """
    schema = Recipe.model_json_schema()
    parts = schema["$defs"]
    components = _Components(parts)
    # Losses: the method chooses the options.
    term = parts["TermSpec"]
    term["properties"]["method"] = _names(TABLES["loss"], term["properties"]["method"])
    term["allOf"] = components.choices("loss", "method")
    # Adapters and loggers: a name, or a name with options.
    for kind, section, key in (("adapter", parts["TermSpec"], "adapter"), ("logger", schema, "logging")):
        parts[kind.capitalize()] = components.component(kind, parts["ComponentSpec"])
        _point_to(section["properties"][key], kind.capitalize())
    # Models and datasets.
    for section in ("StudentSpec", "TeacherSpec"):
        parts[section]["properties"]["model"] = _names(TABLES["model"], parts[section]["properties"]["model"])
        parts[section]["allOf"] = components.choices("model", "model")
    parts["DataSpec"]["properties"]["dataset"] = _names(TABLES["dataset"], parts["DataSpec"]["properties"]["dataset"])
    parts["DataSpec"]["allOf"] = components.choices("dataset", "dataset")
    # Tasks: their options are keys of the sections task and evaluation.
    parts["TaskSpec"]["properties"]["kind"] = _names(TABLES["task"], parts["TaskSpec"]["properties"]["kind"])
    parts["TaskSpec"]["properties"]["kind"]["anyOf"].append({"const": "none", "description": "no loss of its own"})
    parts["TaskSpec"]["allOf"] = components.tasks(parts["TaskSpec"]["properties"]["kind"])
    schema["allOf"] = components.evaluations()
    return schema


class _Components:
    """Schemas of the options of rows; the dataclasses among them become definitions of the whole schema.

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
        """Return the options of each row of a table, for a mapping with the name under ``key`` and ``options``."""
        table = TABLES[kind]
        choices = []
        for name in table.rows:
            choices.append(self._choice(kind, name, key, {"const": name}))
        for source in table.sources or {}:
            choices.append(self._choice(kind, source, key, {"type": "string", "pattern": f"^{source}:"}))
        return choices

    def component(self, kind: str, spec: Schema) -> Schema:
        """Return the schema of a component: the name of a row, or a mapping of name and options."""
        names = _names(TABLES[kind], {"description": spec["properties"]["name"]["description"]})
        mapping = json.loads(json.dumps(spec))
        mapping["properties"]["name"] = names
        mapping["allOf"] = self.choices(kind, "name")
        return {"anyOf": [names, mapping]}

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


def _names(table: Table, field: Schema) -> Schema:
    """Return the schema of a key that names a row, each name with what it is."""
    choices: list[Schema] = [{"const": name, "description": table.summary(name)} for name in table.rows]
    for source in table.sources or {}:
        choices.append({"type": "string", "pattern": f"^{source}:", "description": table.summary(source)})
    choices.append(_OWN)
    kept = {key: value for key, value in field.items() if key in ("description", "default")}
    if any(choice.get("type") == "null" for choice in field.get("anyOf", ())):
        choices.append({"type": "null"})
    return {**kept, "anyOf": choices}


def _point_to(field: Schema, part: str) -> None:
    """Let a key, or the items of a list, be what a definition says."""
    if field.get("type") == "array":
        field["items"] = {"$ref": f"#/$defs/{part}"}
        return
    for key in ("anyOf", "$ref", "allOf"):
        field.pop(key, None)
    field["$ref"] = f"#/$defs/{part}"
