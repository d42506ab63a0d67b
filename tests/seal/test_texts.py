"""Checksum of a recipe: its first line, which YAML takes for a comment."""

import yaml

from densekd.seal import sealed_text, was_changed

TEXT = "name: a\ntraining:\n  steps: 40\n"


def test_the_text_is_read_as_before() -> None:
    assert yaml.safe_load(sealed_text(TEXT)) == yaml.safe_load(TEXT)
    assert not was_changed(sealed_text(TEXT))
    assert not was_changed(TEXT)


def test_changes_and_cuts_are_noticed() -> None:
    sealed = sealed_text(TEXT)
    assert was_changed(sealed.replace("40", "48"))
    for length in range(sealed.index("name"), len(sealed)):
        assert was_changed(sealed[:length])
