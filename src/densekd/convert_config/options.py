"""Changes of a configuration on the command line: ``--cfg-options optim_wrapper.optimizer.lr=0.02``."""

import ast
from collections.abc import Sequence
from typing import Any

from densekd.convert_config.literals import Literals, require_small
from densekd.errors import UserError


def apply_options(content: dict[str, Any], options: Sequence[str]) -> None:
    """Apply ``key.path=value`` to a configuration.

    Raises:
        UserError: not of this form, or a path that leads nowhere.
    """
    for option in options:
        path, equals, text = option.partition("=")
        if not equals or not path:
            raise UserError(f"'{option}' is no option of a configuration; write key.path=value.")
        *parents, last = path.split(".")
        place: Any = content
        for key in parents:
            place = _enter(place, key, option)
        if isinstance(place, list) and last.isdigit() and int(last) < len(place):
            place[int(last)] = _value(text)
        elif isinstance(place, dict):
            place[last] = _value(text)
        else:
            raise UserError(f"'{option}': '{last}' is no entry there.")


def _enter(place: Any, key: str, option: str) -> Any:
    if isinstance(place, list) and key.isdigit() and int(key) < len(place):
        return place[int(key)]
    if isinstance(place, dict):
        return place.setdefault(key, {})
    raise UserError(f"'{option}': '{key}' is no entry there.")


def _value(text: str) -> Any:
    """Return a value as mmcv reads it: a literal, else the text itself."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        value = Literals("command line", {}, {}).evaluate(node)
    except (SyntaxError, ValueError, RecursionError, MemoryError, UserError):
        lowered = text.strip().lower()
        return {"true": True, "false": False, "none": None}.get(lowered, text)
    require_small(value, "command line")
    return value
