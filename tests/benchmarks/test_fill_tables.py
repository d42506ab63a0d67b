"""The tables of docs/benchmarks.md that come from stored results say what is stored."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_page_holds_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "kernels", raising=False)  # that of tests/kernels
    import fill_tables

    page = tmp_path / "page.md"
    before = fill_tables.PAGE.read_text(encoding="utf-8")
    page.write_text(before, encoding="utf-8")
    said: list[str] = []
    fill_tables.main(["--page", str(page), "--device", "cpu"], said.append)
    assert said == [f"{kind}: filled" for kind in fill_tables.TABLES]
    assert page.read_text(encoding="utf-8") == before
