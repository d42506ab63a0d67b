"""JSON of people's files: bounded depth and memory, and where asked for finite numbers and each key once."""

import itertools
import json
from pathlib import Path
from typing import Any

from densekd.errors import UserError
from densekd.memory import available_memory
from densekd.parsers.files import read_bytes, require_file
from densekd.parsers.text import decode_text

# Levels of lists and objects; annotation formats have fewer than ten.
MOST_LEVELS = 100
# A description of classes, a model or a run; a million values take at most about 200 MB.
_SMALL_MEGABYTES = 64
_SMALL_VALUES = 1_000_000
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Bytes that Python takes for each object, list and other value; and for each byte of a file, whose text is held too.
_COSTS = ((b"{", 184), (b"[", 64), (b",", 40))
_COPIES = 2
# Less is not worth a look.
_LITTLE = 100_000_000
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def read_json(path: Path, advice: str, small: bool = False) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        advice: a sentence that ends the message.
        small: see :func:`load_json`.

    Raises:
        UserError: it cannot be read, or is no JSON.
    """
    try:
        return load_json(path, small)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}). {advice}") from error


def load_json(path: Path, small: bool = False) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        small: it describes classes, a model or a run: a million values at most, numbers are finite and
            no key is there twice. Annotations may have any size that the memory of this machine holds.

    Raises:
        OSError: it cannot be read, or is no file.
        ValueError: no JSON, too large or nested too deeply.
    """
    if not small:
        # Before a file of any size is read.
        require_memory(_COPIES * require_file(path))
    return parse_json(read_bytes(path, _SMALL_MEGABYTES if small else None), small)


def parse_json(content: bytes, small: bool = False) -> Any:
    """Parse the bytes of a JSON file, as :func:`load_json`.

    Raises:
        ValueError: as above.
    """
    if small:
        _require_few_values(content)
    else:
        require_memory(memory_of(content))
    # Brackets in texts are counted too; only beyond the limit the content itself is looked at.
    levels = _most_brackets(content)
    text = decode_text(content)
    try:
        if small:
            parsed = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        else:
            parsed = json.loads(text)
    except RecursionError as error:
        raise ValueError(_too_deep()) from error
    if levels > MOST_LEVELS:
        require_shallow(parsed)
    return parsed


def require_shallow(content: Any) -> None:
    """Check that lists and mappings are not nested too deeply.

    Raises:
        ValueError: they are.
    """
    level = [content] if isinstance(content, dict | list) else []
    for _ in range(MOST_LEVELS):
        inside: list[Any] = []
        for one in level:
            values = one.values() if isinstance(one, dict) else one
            inside += [value for value in values if isinstance(value, dict | list)]
        if not inside:
            return
        level = inside
    raise ValueError(_too_deep())


def _too_deep() -> str:
    return f"its lists and objects are nested more than {MOST_LEVELS} deep"


def _most_brackets(content: bytes) -> int:
    """Return how many brackets are open at most."""
    brackets = content.translate(None, _NOT_BRACKETS)
    return max(itertools.accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def memory_of(content: bytes) -> int:
    """Estimate the bytes that a JSON file takes while it is parsed."""
    return _COPIES * len(content) + sum(cost * content.count(sign) for sign, cost in _COSTS)


def require_memory(needed: int) -> None:
    """Check that this machine has the memory that a file takes.

    Raises:
        ValueError: it has less.
    """
    if needed <= _LITTLE:
        return
    available = available_memory()
    if available is not None and needed > available:
        raise ValueError(
            f"it takes about {needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are available; divide it "
            "into files of fewer images, or use a machine with more"
        )


def _require_few_values(content: bytes) -> None:
    count = content.count(b",") + content.count(b"[") + content.count(b"{")
    if count > _SMALL_VALUES:
        raise ValueError(f"it holds more than {_SMALL_VALUES} values")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{twice}' is there twice; keep one")
    return content


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
