"""What a comparison with the student alone compares: equal steps, equal seconds, or neither."""

from typing import Any

import pytest

from densekd.report.budget import read_budget
from densekd.report.tables import comparison_table
from densekd.report.text import NO_BREAK
from densekd.tasks import Segmentation

ABOVE = "4.2 points above"


def budget(steps: int, baseline_steps: int | None, equal_seconds: bool) -> dict[str, Any]:
    return {"steps": steps, "baseline_steps": baseline_steps, "equal_seconds": equal_seconds}


@pytest.mark.parametrize(
    ("found", "sentence", "equal"),
    [
        (
            budget(600, 600, False),
            "At equal steps: 4.2 points above; at equal seconds: not measured (baseline: both). That is 600 "
            "steps against 600 alone.",
            " for as many steps",
        ),
        (
            budget(600, 930, True),
            "At equal steps: not measured (baseline: both); at equal seconds: 4.2 points above. That is 600 steps "
            "against 930 alone.",
            " for as many seconds",
        ),
        (
            budget(600, 600, True),
            "At equal steps: 4.2 points above; at equal seconds: 4.2 points above. That is 600 steps against 600 "
            "alone.",
            " for as many steps and seconds",
        ),
        (
            budget(600, 1200, False),
            "With 600 steps against 1200 alone neither is equal: not measured at equal steps, nor at equal seconds.",
            "",
        ),
        (
            budget(600, None, False),
            "How long the student alone was trained is not known: neither steps nor seconds need be equal.",
            "",
        ),
    ],
)
def test_what_is_there_is_said_and_what_is_not(found: dict[str, Any], sentence: str, equal: str) -> None:
    read = read_budget(found)
    assert read is not None
    assert read.sentence(ABOVE) == sentence
    assert read.equal == equal


def test_one_of_each() -> None:
    read = read_budget(budget(600, 600, False) | {"baseline_seconds_steps": 930})
    assert read is not None
    assert read.sentence(ABOVE, "0.4 points above") == (
        "At equal steps: 4.2 points above; at equal seconds: 0.4 points above. That is 600 steps against 600 and 930 "
        "alone."
    )
    assert read.equal == " for as many steps"


def test_runs_without_a_baseline_have_none() -> None:
    assert read_budget(None) is None


@pytest.mark.parametrize("value", [3, {}, {"steps": True}, {"steps": 0}, {"steps": 1, "baseline_steps": "many"}])
def test_malformed(value: Any) -> None:
    with pytest.raises(ValueError, match="'budget"):
        read_budget(value)


def test_the_line_below_the_table() -> None:
    results: dict[str, Any] = {"split": "val", "metrics": Segmentation.metrics.to_json()}
    for role, score in (("student", 41.0), ("baseline", 40.0)):
        results[role] = {"miou": score, "macc": 50.0, "aacc": 60.0, "parameters": 1e6}
    assert comparison_table(results).caption is None
    caption = str(comparison_table(results | {"budget": budget(6, 9, True)}).caption).replace(NO_BREAK, " ")
    assert caption.startswith("At equal steps: not measured (baseline: both); at equal seconds: 1.0 points above")
    assert comparison_table(results | {"budget": budget(6, 9, True), "baseline": None}).caption is None
    longer = results | {"baseline_seconds": results["baseline"] | {"miou": 40.5}}
    both = comparison_table(longer | {"budget": budget(6, 6, False) | {"baseline_seconds_steps": 9}})
    assert list(both.columns[0].cells) == ["student alone", "student alone, equal seconds", "student"]
    caption = str(both.caption).replace(NO_BREAK, " ")
    assert caption.startswith("At equal steps: 1.0 points above; at equal seconds: 0.5 points above. That is 6 steps")
