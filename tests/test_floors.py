"""No file imports from its own floor or above; losses can be lifted out; the distiller needs no recipe."""

import ast
from pathlib import Path

import pytest

import densekd

PACKAGE = Path(densekd.__file__).parent
FLOORS = {
    0: [
        "braces",
        "disk",
        "errors",
        "explain",
        "garbage",
        "hardware",
        "lean_imports",
        "memory",
        "own_modules",
        "presets",
        "quiet",
        "search_path",
        "signature",
        "students_t",
        "terminal",
    ],
    1: ["atomic", "doors", "metric_names", "network", "ops", "parsers", "stopping", "trust"],
    2: ["exported", "kernels", "registry", "seal"],
    3: ["losses", "data", "quantize", "recipe"],
    4: ["models"],
    5: ["tasks", "teacher_cache"],
    6: ["distill"],
    7: ["builders"],
    8: ["convert_config", "doctor", "report"],
    9: ["run"],
    10: ["compare", "export", "init", "sweep"],
    11: ["api", "cli"],
    12: ["__main__"],
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(path: Path) -> set[str]:
    """Rooms of densekd that a file imports, wherever in the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [f"{n.module}.{a.name}" if n.module == "densekd" else str(n.module) for n in froms for a in n.names]
    return {name.split(".")[1] for name in names if name.startswith("densekd.")} - {"__version__"}


def test_every_file_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} - {"__init__"} == set(FLOOR_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return  # the public door; its imports happen inside functions
    others = imported_rooms(path) - {room}
    allowed = {"kernels", "ops"} if room == "losses" else {r for r, floor in FLOOR_OF.items() if floor < FLOOR_OF[room]}
    assert others <= allowed, f"{path.name} may not import {sorted(others - allowed)}"


def test_the_distiller_needs_no_recipe() -> None:
    for path in (PACKAGE / "distill").rglob("*.py"):
        assert "recipe" not in imported_rooms(path), path.name


def test_losses_import_torch_and_kernels_only() -> None:
    for path in (PACKAGE / "losses").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        modules = {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
        assert modules <= {"torch", "densekd", "typing", "collections", "math", "dataclasses"}, path.name


def test_the_walk_sees_an_upward_import(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("def f():\n    from densekd.cli.app import main\n    import densekd.run.train\n")
    assert imported_rooms(path) == {"cli", "run"}
