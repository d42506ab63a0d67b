"""Evaluation of a configuration's expressions as data: nothing of it is executed.

What is known are literals, ``dict(...)``, names that were assigned before, ``_base_.a.b``, entries of
mappings and lists, arithmetic on numbers, and strings or lists that are joined. Everything else is
refused with its line.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from densekd.errors import UserError

_MAX_DEPTH = 60
_MAX_LENGTH = 200_000
_MAX_NUMBER = 1e18
_MAX_EXPONENT = 20
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}


class Literals:
    """Evaluator of expressions over the names assigned so far.

    Args:
        where: the file, for messages.
        names: values of names; it is read, not changed.
        base: what ``_base_`` means.
    """

    def __init__(self, where: str, names: dict[str, Any], base: dict[str, Any]) -> None:
        self.used: set[str] = set()
        self._where = where
        self._names = names
        self._base = base
        self._depth = 0

    def evaluate(self, node: ast.expr) -> Any:
        """Return the value of an expression.

        Raises:
            UserError: an expression that is no data; nesting or size beyond all configurations.
        """
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.refusal(node, f"more than {_MAX_DEPTH} levels of nesting")
        value = self._value(node)
        self._depth -= 1
        return value

    def refusal(self, node: ast.AST, what: str) -> UserError:
        """Return the error for a line that cannot be read as data."""
        line = getattr(node, "lineno", "?")
        return UserError(
            f"{self._where}, line {line}: {what}. Configurations are read as data and never executed: literals, "
            "dict(...), lists, names assigned before, _base_ and simple arithmetic. Write the value itself, or "
            "export the configuration ('cfg.dump(\"flat.py\")' in mmcv or mmengine) and convert that."
        )

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, (ast.List, ast.Tuple)):
            return self._sequence(node)
        if isinstance(node, ast.Dict):
            return self._mapping(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            return self._entry(node)
        if isinstance(node, ast.Set):
            return self._reference(node)
        if isinstance(node, ast.JoinedStr):
            return self._formatted(node)
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
            operand = self.evaluate(node.operand)
            if isinstance(operand, (int, float)):
                return _SIGNS[type(node.op)](operand)
        raise self.refusal(node, f"{_title(node)} cannot be read as data")

    def _constant(self, node: ast.Constant) -> Any:
        if node.value is None or isinstance(node.value, (str, bool, int, float)):
            return node.value
        raise self.refusal(node, f"a value of type {type(node.value).__name__} cannot be read")

    def _name(self, node: ast.Name) -> Any:
        if node.id == "_base_":
            return self._base
        if node.id in self._names:
            self.used.add(node.id)
            return self._names[node.id]
        # mmcv lets a configuration name variables of its bases by {{_base_.x}} alone.
        raise self.refusal(node, f"the name '{node.id}' was not assigned before")

    def _sequence(self, node: ast.List | ast.Tuple) -> Any:
        items: list[Any] = []
        for element in node.elts:
            if not isinstance(element, ast.Starred):
                items.append(self.evaluate(element))
                continue
            spread = self.evaluate(element.value)
            if not isinstance(spread, (list, tuple)):
                raise self.refusal(element, "only a list can be spread by *")
            items.extend(spread)
            self._require_small(node, items)
        return tuple(items) if isinstance(node, ast.Tuple) else items

    def _mapping(self, node: ast.Dict) -> dict[Any, Any]:
        content: dict[Any, Any] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            if key_node is None:
                content.update(self._spread(value_node))
                continue
            key = self.evaluate(key_node)
            if not isinstance(key, (str, int, float, bool)):
                raise self.refusal(key_node, "a key is a string or a number")
            content[key] = self.evaluate(value_node)
        return content

    def _spread(self, node: ast.expr) -> dict[Any, Any]:
        value = self.evaluate(node)
        if not isinstance(value, dict):
            raise self.refusal(node, "only a mapping can be spread by **")
        return value

    def _call(self, node: ast.Call) -> Any:
        if not isinstance(node.func, ast.Name) or node.func.id != "dict":
            raise self.refusal(node, "a function is called")
        content: dict[Any, Any] = {}
        for argument in node.args:
            content.update(self._spread(argument))
        for keyword in node.keywords:
            if keyword.arg is None:
                content.update(self._spread(keyword.value))
            else:
                content[keyword.arg] = self.evaluate(keyword.value)
        return content

    def _entry(self, node: ast.Attribute | ast.Subscript) -> Any:
        """Return ``mapping.key``, ``mapping['key']`` or ``list[0]``."""
        place = self.evaluate(node.value)
        key = node.attr if isinstance(node, ast.Attribute) else self.evaluate(node.slice)
        if isinstance(place, dict) and isinstance(key, (str, int, float)) and key in place:
            return place[key]
        if isinstance(place, (list, tuple)) and isinstance(key, int) and -len(place) <= key < len(place):
            return place[key]
        raise self.refusal(node, f"there is no entry {key!r}")

    def _reference(self, node: ast.Set) -> Any:
        """Return what ``{{_base_.a.b}}`` means, which Python reads as a set in a set."""
        inner = node.elts[0] if len(node.elts) == 1 else None
        if isinstance(inner, ast.Set) and len(inner.elts) == 1:
            entry = inner.elts[0]
            if isinstance(entry, (ast.Attribute, ast.Subscript)):
                return self.evaluate(entry)
        raise self.refusal(node, "a set cannot be read")

    def _formatted(self, node: ast.JoinedStr) -> str:
        text = ""
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                value = self.evaluate(part.value)
                if part.format_spec or part.conversion != -1 or not isinstance(value, (str, int, float)):
                    raise self.refusal(node, "only plain names can stand in an f-string")
                text += str(value)
            else:
                text += str(self.evaluate(part))
            self._require_small(node, text)
        return text

    def _operation(self, node: ast.BinOp) -> Any:
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        kind = type(node.op)
        for joinable in (str, list, tuple):
            if kind is ast.Add and isinstance(left, joinable) and isinstance(right, joinable):
                joined: Any = operator.add(left, right)
                self._require_small(node, joined)
                return joined
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers or kind not in _ARITHMETIC:
            raise self.refusal(node, "only numbers are calculated with, and strings or lists joined by +")
        if kind is ast.Pow and abs(right) > _MAX_EXPONENT:
            raise self.refusal(node, "the exponent is too large")
        try:
            result = _ARITHMETIC[kind](left, right)
        except ArithmeticError as error:
            raise self.refusal(node, f"the arithmetic fails ({error})") from error
        if isinstance(result, complex) or abs(result) > _MAX_NUMBER:
            raise self.refusal(node, "the result is no number of a configuration")
        return result

    def _require_small(self, node: ast.AST, value: Any) -> None:
        if len(value) > _MAX_LENGTH:
            raise self.refusal(node, "the value is too long")


def require_small(value: Any, where: str) -> None:
    """Check how much a value holds, shared parts counted each time.

    Raises:
        UserError: more than any configuration holds.
    """
    if _count(value, {}, 0) > _MAX_LENGTH:
        raise UserError(
            f"{where}: it holds more than {_MAX_LENGTH} values, or {_MAX_DEPTH} levels of them; no configuration does."
        )


def _count(value: Any, known: dict[int, int], depth: int) -> int:
    """Return the number of values in a value; a part that is shared is walked through once."""
    if not isinstance(value, (dict, list, tuple)):
        return 1
    if depth > _MAX_DEPTH:
        return _MAX_LENGTH + 1
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        # An entry that contains itself ends here.
        known[id(value)] = _MAX_LENGTH + 1
        known[id(value)] = 1 + sum(_count(part, known, depth + 1) for part in parts)
    return known[id(value)]


def _title(node: ast.AST) -> str:
    """Return what people call a kind of expression."""
    titles = {
        "ListComp": "a comprehension", "SetComp": "a comprehension", "DictComp": "a comprehension",
        "GeneratorExp": "a comprehension", "Lambda": "a function", "IfExp": "a condition",
        "Compare": "a comparison", "BoolOp": "a condition", "Await": "await", "NamedExpr": "an assignment within",
    }  # fmt: skip
    return titles.get(type(node).__name__, f"'{type(node).__name__}'")
