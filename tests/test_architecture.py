"""The map in docs/architecture.md is the house as it stands."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def floors() -> dict[int, list[str]]:
    """Read the floors that tests/test_floors.py enforces."""
    tree = ast.parse((ROOT / "tests" / "test_floors.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS":
            found: dict[int, list[str]] = ast.literal_eval(node.value)
            return found
    raise AssertionError("no FLOORS in tests/test_floors.py")


def test_the_table_has_every_room_on_its_floor() -> None:
    described: dict[int, list[str]] = {}
    for floor, rooms in re.findall(r"^\| (\d+) \| (.+?) \|", MAP, re.MULTILINE):
        described.setdefault(int(floor), []).extend(re.findall(r"`(\w+)`", rooms))
    assert {floor: sorted(rooms) for floor, rooms in described.items()} == {
        floor: sorted(rooms) for floor, rooms in floors().items()
    }


def test_every_file_that_the_map_names_is_there() -> None:
    package = ROOT / "src" / "densekd"
    names = set(re.findall(r"`?\b((?:[a-z_]+/)+[a-z_]+\.py)\b", MAP)) - {"a/b.py", "tests/a/test_b.py"}
    assert len(names) > 10
    for name in names:
        assert (package / name).is_file() or (ROOT / name).is_file(), name
