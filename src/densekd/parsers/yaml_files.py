"""YAML of people's files: each key once, and bounded size, depth and repetition by aliases."""

import re
from pathlib import Path
from typing import Any

import yaml

from densekd.parsers.text import load_text

# A recipe has some hundred values.
MOST_MEGABYTES = 2
_MOST_VALUES = 50_000
_MOST_LEVELS = 50
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Safe YAML loader with limits, which reads ``1e-3`` as a number."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a value and what is in it, within the limits."""
        self._values += 1
        self._level += 1
        if self._values > _MOST_VALUES:
            raise _refusal(f"it holds more than {_MOST_VALUES} values", self._place())
        if self._level > _MOST_LEVELS:
            raise _refusal(f"its lists and mappings are nested more than {_MOST_LEVELS} deep", self._place())
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def _place(self) -> Any:
        """Return where the next value begins."""
        return self.peek_event().start_mark  # type: ignore[no-untyped-call]

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Build a value; a date or number that is none is refused with its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, TypeError, AttributeError, KeyError, IndexError) as error:
            shown = f"'{node.value:.40}'" if isinstance(node.value, str) else "a value"
            reason = str(error).partition(";")[0]
            kind = str(node.tag).rpartition(":")[2]
            raise _refusal(f"{shown} is no valid {kind} ({reason})", node.start_mark) from error


class YamlDumper(yaml.SafeDumper):
    """Safe YAML dumper that puts into quotes what :func:`parse_yaml` would read as something else."""


# PyYAML knows YAML 1.1, where a number with an exponent needs a point and a sign: 1e-3 would be a
# text. Who writes has to know it, too: the text 0016E5 would come back as a number.
for _reads_or_writes in (_Loader, YamlDumper):
    _reads_or_writes.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
    )


def load_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        OSError: it cannot be read, or is no file.
        ValueError: no YAML, a key that is there twice, too large, or nested too deeply.
    """
    return parse_yaml(load_text(path, MOST_MEGABYTES))


def parse_yaml(text: str) -> Any:
    """Parse YAML, as :func:`load_yaml`.

    Raises:
        ValueError: as above.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Measured().values_of(node)
        return _unfolded(loader.construct_document(node))
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace('in "<unicode string>", ', "")) from error
    except RecursionError as error:
        raise ValueError(f"its lists and mappings are nested more than {_MOST_LEVELS} deep") from error


def _unfolded(content: Any) -> Any:
    """Return the content with a copy in place of each alias, so that a change of one is no change of another."""
    if isinstance(content, dict):
        return {key: _unfolded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_unfolded(value) for value in content]
    return content


class _Measured:
    """Count of the values that nodes unfold to, each node once."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._above: set[int] = set()

    def values_of(self, node: yaml.Node) -> int:
        """Return how many values a node stands for when its aliases are unfolded.

        Raises:
            yaml.YAMLError: too many, a node inside itself, or a mapping with a key that is none.
        """
        key = id(node)
        if key in self._known:
            return self._known[key]
        if key in self._above:
            raise _refusal("an alias stands inside of what it names", node.start_mark)
        self._above.add(key)
        total = 1
        for inner in _inside(node):
            total += self.values_of(inner)
            if total > _MOST_VALUES:
                raise _refusal(f"its aliases unfold to more than {_MOST_VALUES} values", node.start_mark)
        self._above.discard(key)
        self._known[key] = total
        return total


def _inside(node: yaml.Node) -> list[yaml.Node]:
    """Return the values in a node; the keys of a mapping are checked."""
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    seen: set[tuple[str, str]] = set()
    values: list[yaml.Node] = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _refusal("a list or a mapping cannot be a key", key.start_mark)
        name = (key.tag, key.value)
        if name in seen and key.tag != _MERGE:
            raise _refusal(f"the key '{key.value:.40}' is there twice; keep one", key.start_mark)
        seen.add(name)
        values.append(value)
    return values


def _refusal(what: str, mark: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, what, mark)
