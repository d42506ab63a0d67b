"""Converters in other environments: what a refusal repeats of what they printed."""

import sys
from pathlib import Path

import pytest

from densekd.export.engines.contract import ConversionRefused
from densekd.export.engines.outside import run_converter

ADVICE = "See the logs for more (a page of another project)."


def refusal(program: str, folder: Path) -> str:
    with pytest.raises(ConversionRefused) as caught:
        run_converter("Engine", [sys.executable, "-c", program], folder, folder / "model.bin")
    return str(caught.value)


def test_the_last_error_is_repeated_not_the_advice_behind_it(tmp_path: Path) -> None:
    program = f"print('a.b.FirstError: one'); print('RuntimeError: no such operator'); print({ADVICE!r}); exit(1)"
    assert refusal(program, tmp_path) == "the converter of Engine gave up: RuntimeError: no such operator"


def test_without_an_error_the_last_line_is(tmp_path: Path) -> None:
    assert refusal("print('begun'); print('no more')", tmp_path) == "the converter of Engine gave up: no more"
    assert refusal("", tmp_path) == "the converter of Engine gave up: it says nothing"


def test_a_crash_is_said_to_be_one(tmp_path: Path) -> None:
    program = "import os; print('half', flush=True); os.kill(os.getpid(), 9)"
    assert refusal(program, tmp_path) == "the converter of Engine crashed (signal 9): half"
