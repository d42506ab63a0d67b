"""The public names of densekd: importing them is instant, each is where it says, and type checkers see them."""

import ast
import inspect
import subprocess
import sys
import time
from pathlib import Path

import pytest

import densekd

HEAVY = ("torch", "numpy", "lightning", "pydantic", "PIL", "timm", "rich")


def seconds(code: str) -> float:
    """Return the shortest of three times that Python takes to run code, its own start included."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        best = min(best, time.perf_counter() - started)
    return best


def test_importing_is_instant() -> None:
    # Meant are 0.05 s beyond Python's own start; the limit leaves room for a machine that does other things.
    assert seconds("import densekd") - seconds("pass") < 0.15
    loaded = f"[name for name in {HEAVY!r} if name in sys.modules]"
    code = f"import sys, densekd; dir(densekd); found = {loaded}; assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_a_model_needs_no_trainer() -> None:
    code = "import sys, densekd; densekd.load; densekd.predict; assert 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_is_there() -> None:
    for name in densekd.__all__:
        found = getattr(densekd, name)
        assert found is not None
        assert inspect.getdoc(found)
    assert dir(densekd) == sorted(densekd.__all__)


def test_type_checkers_see_every_name() -> None:
    """What ``__getattr__`` gives at run time is imported for type checkers."""
    tree = ast.parse(Path(densekd.__file__).read_text(encoding="utf-8"))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names}
    assert set(densekd.__all__) - {"__version__"} <= imported


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="module 'densekd' has no attribute 'lod'; it has Distiller, Term, "):
        densekd.lod  # noqa: B018
