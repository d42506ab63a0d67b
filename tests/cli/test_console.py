"""What is printed is what was meant."""

from io import StringIO

import pytest

from densekd.cli import console as terminal
from densekd.terminal import Terminal


def test_brackets_of_a_path_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = StringIO()
    monkeypatch.setattr(terminal, "console", Terminal(file=printed))
    terminal.print_plain("4 images: runs/first [gray]/predictions")
    assert printed.getvalue() == "4 images: runs/first [gray]/predictions\n"
