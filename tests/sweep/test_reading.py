"""Sweep files that are wrong say which file, which key and what belongs there."""

from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import tiny_sweep, write_sweep

from densekd.errors import RecipeError
from densekd.sweep.reading import load_sweep


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axis": {}}, "axis: unknown key. Did you mean 'axes'?"),
        ({"axes": {}}, "axes: at least one axis"),
        ({"axes": {"seed": []}}, "seed: no value"),
        ({"axes": {"seed": [0, 0]}}, "seed: two names are equal"),
        ({"axes": {"method": {"a b": []}}}, "method: 'a b' is no name"),
        ({"exclude": [{"methods": "cwd"}]}, "exclude.0: there is no axis 'methods'; there is method, seed"),
        ({"exclude": [{"method": "mgd"}]}, "exclude.0: axis method has no 'mgd'; it has alone, cwd"),
        ({"baseline": {"method": "none"}}, "baseline: axis method has no 'none'"),
        ({"search": {"trials": 2}}, "nothing to search"),
        ({"search": {"trials": 0, "over": {"optimizer.lr": {"uniform": [0, 1]}}}}, "search.trials"),
        ({"search": {"trials": 2, "over": {"optimizer.lr": {"log_uniform": [0, 1]}}}}, "both numbers must be above 0"),
        ({"search": {"trials": 2, "over": {"optimizer.lr": {}}}}, "one of uniform: [low, high]"),
        ({"search": {"trials": 2, "over": {"optimizer.lr": {"uniform": [2, 1]}}}}, "the smaller number comes first"),
        ({"together": 1}, "together: "),
        ({"name": "a/b"}, "name: letters, digits"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(
    change: dict[str, Any], message: str, recipe: dict[str, Any], tmp_path: Path
) -> None:
    path = write_sweep(tmp_path, recipe, tiny_sweep() | change)
    with pytest.raises(RecipeError) as caught:
        load_sweep(path)
    said = str(caught.value)
    assert said.startswith(f"{path}:")
    assert message in said


def test_what_is_no_sweep_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    with pytest.raises(RecipeError, match="there is no such sweep file"):
        load_sweep(path)
    path.write_text("- 1\n")
    with pytest.raises(RecipeError, match="a sweep is a mapping"):
        load_sweep(path)
    path.write_text("axes: [distill=[]]\n")
    with pytest.raises(RecipeError, match=r"not YAML.*\n.*line 1"):
        load_sweep(path)
    path.write_text("axes: {seed: [0]}\n")
    with pytest.raises(RecipeError, match="recipe: missing"):
        load_sweep(path)


def test_a_sweep_is_called_after_its_file(recipe: dict[str, Any], tmp_path: Path) -> None:
    assert load_sweep(write_sweep(tmp_path, recipe, tiny_sweep())).name == "sweep"
