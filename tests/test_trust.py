"""Whose word the name of a module is: a person's is remembered, a file's is refused."""

import pytest

from densekd.errors import RecipeError, UserError
from densekd.trust import is_trusted, names_of_file, require_trust, trust_modules, trusting


def test_a_file_may_name_what_a_person_named() -> None:
    with names_of_file("config.json"), pytest.raises(UserError, match=r"^config\.json: names 'a\.b:C'.* --trust a\.b "):
        require_trust("a.b:C")
    # Outside of a file the name is a person's own.
    require_trust("a.b:C")
    with names_of_file("config.json"):
        require_trust("a.b:C")
        require_trust("pspnet")
        with pytest.raises(UserError):
            require_trust("a.b:D")


@pytest.mark.parametrize(
    ("trusted", "name", "is_so"),
    [
        ("a", "a:C", True),
        ("a", "a.b:C", True),
        ("a.b", "a.b:C", True),
        ("a.b:C", "a.b:C", True),
        ("a.b:C", "a.b:D", False),
        ("a.b", "a:C", False),
        ("a", "ab:C", False),
    ],
)
def test_trust_covers_what_is_below(trusted: str, name: str, is_so: bool) -> None:
    with trusting([trusted]):
        assert is_trusted(name) is is_so
    assert not is_trusted(name)
    trust_modules([trusted])
    assert is_trusted(name) is is_so


@pytest.mark.parametrize("name", ["", "a b", "a:", ":C", "a/b.py", "a.", "a:C:D", "*"])
def test_what_names_no_module(name: str) -> None:
    with pytest.raises(RecipeError, match="write a module, or package"):
        trust_modules([name])


def test_a_text_is_no_list() -> None:
    with pytest.raises(RecipeError, match="a list of modules, got the text 'abc'"), trusting("abc"):
        pass
