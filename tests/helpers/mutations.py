"""Mutations of valid files: bytes flipped, cut, doubled, and values replaced by odd ones."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

# What breaks parsers that expect a name, a number, a list.
ODD_TEXTS = [
    "", "null", "true", "{}", "[]", "[[]]", "-1", "0", "1e400", "NaN", "Infinity", "-Infinity", "1e308", "9" * 30,
    "9" * 5000, "0.5", '""', '"\\u0000"', '"\\ud800"', "\x1b[31m", "[/red]", "../../etc/passwd", "/dev/zero", "é",
    "\ufeff", "\u202e", "&a", "*a", "<<: *a", "!!python/object:os.system x", "2024-99-99", "0x", "1_000", "? [1]",
    "<!DOCTYPE a>", "]]>", "&lt;", "<a", ": ", "\n", "\r", "\t", "- ", ",", ",,", "\0", "{" * 200, "[" * 2000,
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, [], {}, [[]], [None], {"a": []}, -1, 0, 2, 255, 256, 1e308, -1e308, float("inf"), float("nan"), 10**30,
    2**63, 0.5, "", "0", "-1", "nan", "\x1b[31m", "\0", "\ud800", "a" * 300, "../x", "/dev/zero", [1, 2], [1e308] * 6,
    [float("nan")] * 8, {"1": 2}, "é",
]  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")

Mutate = Callable[[st.DataObject, bytes], bytes]


def bytes_changed(data: st.DataObject, content: bytes) -> bytes:
    """Flip, cut, insert and double some bytes."""
    found = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(0, len(found) - 1)))
        end = place + data.draw(st.integers(0, 40))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "double", "end", "zeros"]))
        if kind == "flip" and found:
            found[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del found[place:end]
        elif kind == "insert":
            found[place:place] = data.draw(st.binary(max_size=8))
        elif kind == "double":
            found[place:place] = found[place:end]
        elif kind == "end":
            del found[place:]
        else:
            found[place:end] = bytes(end - place)
    return bytes(found)


def text_changed(data: st.DataObject, content: bytes) -> bytes:
    """Change bytes, or replace numbers and put odd texts between."""
    if data.draw(st.integers(0, 3)) == 0:
        return bytes_changed(data, content)
    for _ in range(data.draw(st.integers(1, 3))):
        odd = data.draw(st.sampled_from(ODD_TEXTS)).encode("utf-8", "surrogatepass")
        numbers = list(_NUMBER.finditer(content))
        if numbers and data.draw(st.booleans()):
            start, end = data.draw(st.sampled_from(numbers)).span()
        else:
            start = data.draw(st.integers(0, len(content)))
            end = start + data.draw(st.sampled_from([0, 0, 1, 10]))
        content = content[:start] + odd + content[end:]
    return content


def json_changed(data: st.DataObject, content: bytes) -> bytes:
    """Replace, remove or double a value of JSON; or change its text."""
    if data.draw(st.integers(0, 2)) == 0:
        return text_changed(data, content)
    parsed = json.loads(content)
    for _ in range(data.draw(st.integers(1, 3))):
        parsed = _value_changed(data, parsed)
    return json.dumps(parsed).encode("utf-8", "surrogatepass")


def _value_changed(data: st.DataObject, parsed: Any) -> Any:
    """Walk to some value and change it."""
    if isinstance(parsed, dict | list) and parsed and data.draw(st.integers(0, 9)):
        keys = list(parsed) if isinstance(parsed, dict) else list(range(len(parsed)))
        key = data.draw(st.sampled_from(keys))
        kind = data.draw(st.sampled_from(["into", "into", "into", "remove", "double"]))
        if kind == "into":
            parsed[key] = _value_changed(data, parsed[key])
        elif kind == "remove":
            del parsed[key]
        elif isinstance(parsed, list):
            parsed.append(copy.deepcopy(parsed[key]))
        return parsed
    return copy.deepcopy(data.draw(st.sampled_from(ODD_VALUES)))
