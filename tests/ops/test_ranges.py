from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from densekd.ops import ranges


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("Positive", [1e-9, 4, 1.5], [0, -1.0, float("nan")]),
        ("NonNegative", [0, 2.5], [-1e-9]),
        ("Fraction", [0, 0.65, 1], [-0.1, 1.1]),
        ("ProperFraction", [0, 0.999], [1, -0.1]),
        ("PositiveInt", [1, 20000], [0, -1, 1.5]),
        ("NonNegativeInt", [0, 7], [-1, 0.5]),
        ("Size", [(1, 2), [64, 128]], [(0, 2), (1,), (1, 2, 3)]),
    ],
)
def test_pydantic_validates_by_the_range(name: str, accepted: list[Any], refused: list[Any]) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(getattr(ranges, name))
    for value in accepted:
        adapter.validate_python(value)
    for value in refused:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def test_bounds_are_in_the_json_schema() -> None:
    assert TypeAdapter(ranges.Positive).json_schema() == {"exclusiveMinimum": 0, "type": "number"}
    assert TypeAdapter(ranges.Fraction).json_schema() == {"maximum": 1, "minimum": 0, "type": "number"}
