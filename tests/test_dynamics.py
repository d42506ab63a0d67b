"""Three steps of each system's headline recipe: losses, learning rates, weights, as they were when they were audited.

They equaled the originals' to 1e-9 then. ``python tests/helpers/dynamics.py`` writes the numbers anew.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from dynamics import DECISION, GOLDEN, STEPS, SYSTEMS, as_text, run_system

from densekd.kernels import Kernels

TOLERANCE = 1e-9
# Gradients that cancel, as those of a bias before a batch norm, are rounding: of the largest gradient.
ROUNDING = 1e-12


def stored() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return content


def different(found: Any, expected: Any, least: float, where: str = "") -> Iterator[str]:
    """Yield every number that differs by more than the tolerance and ``least``, with its place."""
    if isinstance(expected, (dict, list)):
        keys: Any = expected if isinstance(expected, dict) else range(len(expected))
        assert len(found) == len(expected), f"{where}: {len(found)} entries, there were {len(expected)}"
        for key in keys:
            yield from different(found[key], expected[key], least, f"{where}/{key}")
    elif abs(found - expected) > TOLERANCE * abs(expected) + least:
        yield f"{where}: {found!r}, was {expected!r}"


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_three_steps_are_the_same(name: str, kernels: Kernels) -> None:
    expected = stored()[name]
    found = run_system(SYSTEMS[name], kernels)
    assert found["losses"][0].keys() == expected["losses"][0].keys()
    assert found["parameters"].keys() == expected["parameters"].keys()
    largest = max(gradient for _, gradient in expected["parameters"].values())
    wrong: list[str] = []
    for part, values in expected.items():
        least = ROUNDING * largest if part == "parameters" else 0.0
        wrong += different(found[part], values, least, part)
    assert not wrong, f"{DECISION}:\n" + "\n".join(wrong)


def test_the_file_is_complete() -> None:
    content = stored()
    assert content.keys() == SYSTEMS.keys()
    assert as_text(content) == GOLDEN.read_text(encoding="utf-8")
    for system in content.values():
        assert len(system["losses"]) == len(system["lr"]) == STEPS


def test_a_difference_is_seen_and_named() -> None:
    expected = {"a": [1.0, {"b": 2.0}]}
    assert list(different({"a": [1.0, {"b": 2.0 + 1e-9}]}, expected, 0.0)) == []
    assert list(different({"a": [1.0, {"b": 2.0 + 3e-9}]}, expected, 0.0)) == ["/a/1/b: 2.000000003, was 2.0"]
    with pytest.raises(AssertionError, match="1 entries, there were 2"):
        list(different({"a": [1.0]}, expected, 0.0))
