"""docs/decisions.md: one dated heading for each decision, oldest first, each with an anchor of its own."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "decisions.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)


def test_every_heading_has_a_date_and_a_title() -> None:
    assert len(HEADINGS) > 90
    for heading in HEADINGS:
        assert re.fullmatch(r"20\d\d-\d\d-\d\d – \S.*[^.]", heading), heading


def test_they_are_in_the_order_of_their_dates_and_can_be_linked() -> None:
    dates = [heading[:10] for heading in HEADINGS]
    assert dates == sorted(dates)
    assert len(set(HEADINGS)) == len(HEADINGS)


def test_no_paragraph_is_a_heading_in_disguise() -> None:
    assert not re.search(r"^\*\*20\d\d-", TEXT, re.MULTILINE)
    for section in TEXT.split("\n## ")[1:]:
        assert section.partition("\n")[2].strip(), section
