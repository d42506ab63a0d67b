"""Reading of OpenMMLab's configurations, Python, YAML or JSON, with their ``_base_``, as data.

The Python text is parsed, its assignments are followed in their order, and nothing is executed.
"""

import ast
import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densekd.convert_config.literals import Literals, require_small
from densekd.errors import UserError
from densekd.parsers import load_text, parse_json, parse_yaml
from densekd.parsers.files import is_file

_MAX_BYTES = 1_000_000
_MAX_BASES = 20
_SUFFIXES = (".py", ".yaml", ".yml", ".json")
_REFERENCE = re.compile(r"^\{\{\s*_base_\.([\w.]+)\s*\}\}$")
_ENVIRONMENT = re.compile(r"\{\{\s*\$\w+:([^}]*?)\s*\}\}")

KnownBase = Callable[[str], dict[str, Any] | None]


@dataclass(frozen=True)
class Config:
    """A configuration with all its bases merged.

    Args:
        content: plain data.
        variables: top-level names that other values are made of.
        notes: what is to be known of bases that could not be read.
        own: top-level keys that files of the user set, not built-in bases.
    """

    content: dict[str, Any]
    variables: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    own: set[str] = field(default_factory=set)


def read_config(path: Path, known_base: KnownBase) -> Config:
    """Read a configuration and its bases.

    Args:
        path: ``.py``, ``.yaml``, ``.yml`` or ``.json``.
        known_base: what a base holds that is not on the disk, by its reference, or None.

    Raises:
        UserError: a file that is missing, too large, no configuration, or based on itself.
    """
    return _read(path, known_base, ())


def _read(path: Path, known_base: KnownBase, above: tuple[Path, ...]) -> Config:
    resolved = path.resolve()
    if resolved in above:
        cycle = " -> ".join(file.name for file in (*above[above.index(resolved) :], resolved))
        raise UserError(f"{path}: _base_ leads back to itself: {cycle}.")
    if len(above) >= _MAX_BASES:
        raise UserError(f"{path}: more than {_MAX_BASES} levels of _base_.")
    text = _text(path)
    chain = (*above, resolved)
    if path.suffix != ".py":
        return _read_data(path, text, known_base, chain)
    tree = _parse(path, text)
    bases = _bases(path, _base_references(path, tree), known_base, chain)
    names, used = _follow(path, tree, bases.content)
    return _inherit(path, names, bases, used)


def _text(path: Path) -> str:
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{path}: a configuration is a file that ends with {', '.join(_SUFFIXES)}.")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    if path.stat().st_size > _MAX_BYTES:
        raise UserError(f"{path}: larger than {_MAX_BYTES // 1_000_000} MB, which no configuration is.")
    try:
        return load_text(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error


def _parse(path: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: not Python ({error.msg}).") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise UserError(f"{path}: cannot be parsed: nested too deeply, or not text.") from error


def _base_references(path: Path, tree: ast.Module) -> list[str]:
    """Return what ``_base_`` names, which is literal text."""
    for node in tree.body:
        is_base = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_base_"
        if is_base:
            assert isinstance(node, ast.Assign)
            return _references(path, Literals(str(path), {}, {}).evaluate(node.value))
    return []


def _references(path: Path, value: Any) -> list[str]:
    references = [value] if isinstance(value, str) else list(value or [])
    if not all(isinstance(reference, str) for reference in references):
        raise UserError(f"{path}: _base_ is a path or a list of paths.")
    return references


def _bases(path: Path, references: list[str], known_base: KnownBase, chain: tuple[Path, ...]) -> Config:
    """Read all bases of a file and join them; a later one wins."""
    joined = Config({})
    for reference in references:
        base = _base(path, reference, known_base, chain)
        merge(base.content, joined.content)
        joined.variables.update(base.variables)
        joined.notes.extend(base.notes)
        joined.own.update(base.own)
    require_small(joined.content, str(path))
    return joined


def _base(path: Path, reference: str, known_base: KnownBase, chain: tuple[Path, ...]) -> Config:
    in_package = "::" in reference
    file = path.parent / reference
    if not in_package and is_file(file):
        return _read(file, known_base, chain)
    content = known_base(reference)
    if content is None:
        what = "a file of a package, which is not read" if in_package else "not on the disk"
        raise UserError(
            f"{path}: its base '{reference}' is {what}, and densekd does not know what it holds. Convert within the "
            "project's folder, copy the base beside the file, or export the whole configuration "
            "('cfg.dump(\"flat.py\")' in mmcv or mmengine)."
        )
    where = "a package's file" if in_package else "not on the disk"
    return Config(content, notes=[f"the base '{reference}' is {where}: its published values were taken"])


def _inherit(path: Path, names: dict[str, Any], bases: Config, used: set[str]) -> Config:
    """Merge a file's own values over those of its bases."""
    names.pop("_base_", None)
    content = bases.content
    merge(names, content)
    require_small(content, str(path))
    return Config(content, used | bases.variables, bases.notes, bases.own | set(names))


def merge(child: dict[Any, Any], base: dict[Any, Any]) -> None:
    """Merge a mapping into another as mmengine does: by entry, and ``_delete_`` replaces the whole."""
    for key, value in child.items():
        if not isinstance(value, dict):
            base[key] = copy.deepcopy(value)
            continue
        own = {name: part for name, part in value.items() if name != "_delete_"}
        inherited = base.get(key)
        if value.get("_delete_") or not isinstance(inherited, (dict, list)):
            base[key] = {}
            merge(own, base[key])
        elif isinstance(inherited, list):
            _merge_into_list(own, inherited)
        else:
            merge(own, inherited)


def _merge_into_list(own: dict[Any, Any], inherited: list[Any]) -> None:
    """Merge a mapping from positions to changes into a list."""
    for key, value in own.items():
        position = int(key) if str(key).isdigit() else -1
        if not 0 <= position < len(inherited):
            raise UserError(f"'{key}' is no position of the list of {len(inherited)} that it changes.")
        if isinstance(value, dict) and isinstance(inherited[position], dict):
            merge(value, inherited[position])
        else:
            inherited[position] = copy.deepcopy(value)


def _follow(path: Path, tree: ast.Module, base: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Follow a module's assignments; return the names, and those that others are made of."""
    names: dict[str, Any] = {}
    literals = Literals(str(path), names, copy.deepcopy(base))
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            raise literals.refusal(node, f"{_statement(node)} cannot be read as data")
        found = literals.evaluate(value)
        require_small(found, f"{path}, line {node.lineno}")
        found = _resolve(found, literals, node, base)
        for target in targets:
            _assign(target, found, names, literals)
    return names, literals.used


def _statement(node: ast.stmt) -> str:
    titles = {
        "If": "a condition", "For": "a loop", "While": "a loop", "Import": "an import", "ImportFrom": "an import",
        "FunctionDef": "a function", "ClassDef": "a class", "With": "'with' (mmengine's read_base)",
        "Expr": "an expression without assignment", "Delete": "'del'", "Try": "'try'",
    }  # fmt: skip
    return titles.get(type(node).__name__, f"'{type(node).__name__}'")


def _assign(target: ast.expr, value: Any, names: dict[str, Any], literals: Literals) -> None:
    if isinstance(target, ast.Name):
        names[target.id] = value
        return
    if isinstance(target, ast.Tuple) and isinstance(value, (list, tuple)) and len(value) == len(target.elts):
        for part, item in zip(target.elts, value, strict=True):
            _assign(part, item, names, literals)
        return
    if isinstance(target, (ast.Attribute, ast.Subscript)):
        place = literals.evaluate(target.value)
        key = target.attr if isinstance(target, ast.Attribute) else literals.evaluate(target.slice)
        if isinstance(place, dict) and isinstance(key, (str, int)):
            place[key] = value
            require_small(place, f"line {target.lineno}")
            return
    raise literals.refusal(target, "this cannot be assigned to")


def _resolve(value: Any, literals: Literals, node: ast.stmt, base: dict[str, Any]) -> Any:
    """Replace text like ``'{{_base_.a.b}}'``, and variables of the environment by their defaults."""
    if isinstance(value, dict):
        for key, part in value.items():
            value[key] = _resolve(part, literals, node, base)
        return value
    if isinstance(value, (list, tuple)):
        parts = [_resolve(part, literals, node, base) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    if not isinstance(value, str) or "{{" not in value:
        return value
    found = _REFERENCE.match(value)
    if found is None:
        # The environment is not read.
        return _ENVIRONMENT.sub(lambda match: match[1].strip("'\""), value)
    place: Any = base
    for key in found[1].split("."):
        if not isinstance(place, dict) or key not in place:
            raise literals.refusal(node, f"'{value}' is in no base")
        place = place[key]
    return copy.deepcopy(place)


def _read_data(path: Path, text: str, known_base: KnownBase, chain: tuple[Path, ...]) -> Config:
    """Read a configuration in YAML or JSON."""
    try:
        content = parse_json(text.encode()) if path.suffix == ".json" else parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: a configuration is a mapping.")
    require_small(content, str(path))
    references = _references(path, content.get("_base_"))
    bases = _bases(path, references, known_base, chain)
    return _inherit(path, content, bases, set())
