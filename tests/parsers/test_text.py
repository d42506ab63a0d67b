"""Whole numbers of people's files."""

import pytest

from densekd.parsers import whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("0042", 42),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("x", None),
        ("9" * 18, 10**18 - 1),
        ("9" * 5000, None),
    ],
)
def test_digits_are_a_number_unless_they_are_too_many(text: str, number: int | None) -> None:
    assert whole_number(text) == number
