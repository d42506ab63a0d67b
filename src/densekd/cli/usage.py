"""Messages about a command line that no command understands: unknown options, wrong values."""

import re
from collections.abc import Sequence
from typing import Any

# Commands that take a recipe's keys, and those that take the keys of its evaluation.
_OF_RECIPES = ("train", "check", "cache", "shard")
_OF_EVALUATION = ("evaluate", "predict")
# Words of other tools for keys of a recipe.
_OTHER_WORDS = {
    "batch": "data.batch_size",
    "bs": "data.batch_size",
    "iters": "training.steps",
    "max_iters": "training.steps",
    "iterations": "training.steps",
    "max_steps": "training.steps",
    "learning_rate": "optimizer.lr",
    "num_workers": "data.workers",
    "crop_size": "augment.crop",
    "fp16": "training.precision",
    "amp": "training.precision",
    "model": "student.model",
    "backbone": "student.options.backbone",
}
# What the library that reads options says of a value, and what is expected.
_EXPECTED = (
    (re.compile(r"Input should be a valid integer.*"), "an integer is expected"),
    (re.compile(r"Input should be a valid number.*"), "a number is expected"),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"at least \1 is expected"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"at most \1 is expected"),
    (re.compile(r"Input should be greater than (\S+)"), r"more than \1 is expected"),
    (re.compile(r"Input should be less than (\S+)"), r"less than \1 is expected"),
    (re.compile(r"Input should be (?:a |an )?(.+)"), r"\1 is expected"),
)
_WRONG_VALUE = re.compile(r"Invalid value for '(--[\w-]+)[^:]*: (?=Input should)")


def is_usage_error(error: BaseException) -> bool:
    """Tell whether the command line itself was wrong, and no command has begun."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def describe_usage_error(error: Any, words: Sequence[str]) -> str:
    """Say what is wrong with a command line and how it is written.

    Args:
        error: of the library that reads it.
        words: the command line, without the program.
    """
    context = getattr(error, "ctx", None)
    command = str(getattr(context, "info_name", None) or "")
    option = getattr(error, "option_name", None)
    message = _in_plain_words(error.format_message(), words)
    if option is None:
        return message
    name = str(option).lstrip("-")
    # The library proposes --help for whatever it does not know.
    message = message.replace(" (Possible options: --help)", "")
    return f"{message} {_as_override(name, _value_of(str(option), words), command)}".strip()


def recipe_keys() -> list[str]:
    """List the keys of a recipe with their sections: ``data.batch_size``; parts of lists have none."""
    from densekd.recipe.complaints import sections_in
    from densekd.recipe.sections import Recipe

    keys: list[str] = []
    todo: list[tuple[str, Any]] = [("", Recipe)]
    while todo:
        prefix, section = todo.pop(0)
        for name, field in section.model_fields.items():
            inner = sections_in(field.annotation)
            is_list = "tuple" in str(field.annotation)
            if not inner:
                keys.append(f"{prefix}{name}")
            elif not is_list:
                todo += [(f"{prefix}{name}.", part) for part in inner]
    return keys


def _in_plain_words(message: str, words: Sequence[str]) -> str:
    """Put the words of a validation library in those of people, with the option and its value."""
    found = _WRONG_VALUE.match(message)
    if found is None:
        return message if message.endswith(("?", ".")) else f"{message}."
    said, option = message[found.end() :], found[1]
    for pattern, plain in _EXPECTED:
        if pattern.match(said):
            said = pattern.sub(plain, said, count=1)
            break
    value = _value_of(option, words)
    return f"{option} {value}: {said.rstrip('.')}."


def _value_of(option: str, words: Sequence[str]) -> str:
    """Return what stands behind an option on the command line."""
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name != option:
            continue
        if equals:
            return value
        rest = words[position + 1 : position + 2]
        return rest[0] if rest and not rest[0].startswith("--") else ""
    return ""


def _as_override(name: str, value: str, command: str) -> str:
    """Say how the key of a recipe is set on the command line, where an option has its name."""
    if command in _OF_EVALUATION:
        return "What the recipe says of evaluation is changed by key=value without dashes: flip=horizontal."
    if command not in _OF_RECIPES:
        return ""
    key = name.replace("-", "_")
    meant = _OTHER_WORDS.get(key)
    found = [one for one in recipe_keys() if one == key or one.endswith(f".{key}")]
    # Of several keys that end so the shortest path is meant most often.
    found.sort(key=lambda one: (one != f"training.{key}", one.count("."), len(one)))
    keys = [meant] if meant else found
    if not keys:
        return "Keys of the recipe are changed by key.path=value without dashes: training.steps=100."
    first, *others = keys
    line = f"A key of the recipe is changed without dashes: {first}={value or '...'}"
    return f"{line} (or {', '.join(others)})." if others else line
