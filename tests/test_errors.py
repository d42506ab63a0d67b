import pytest

from densekd.errors import RecipeError, UserError, suggest


@pytest.mark.parametrize(
    ("wrong", "known", "text"),
    [
        ("tempreature", ["tau", "temperature"], "Did you mean 'temperature'? Known: tau, temperature."),
        ("zzz", ["tau", "temperature"], "Known: tau, temperature."),
        ("b", {"c": 1, "a": 2}, "Known: a, c."),
        ("x", [], "Known: none."),
    ],
)
def test_a_suggestion_names_the_nearest_and_lists_all_in_order(wrong: str, known: list[str], text: str) -> None:
    assert suggest(wrong, known) == text


def test_exit_codes_tell_a_failed_run_from_a_wrong_recipe() -> None:
    assert UserError.code == 1
    assert RecipeError.code == 2
    with pytest.raises(UserError, match="both are caught as one"):
        raise RecipeError("both are caught as one")
