"""Garbage is searched seldom while a command starts, and as usual in a training."""

import gc
from collections.abc import Iterator

import pytest

from densekd.garbage import search_as_usual, search_seldom


@pytest.fixture(autouse=True)
def before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)


def test_seldom_and_as_usual() -> None:
    gc.set_threshold(700, 10, 10)
    search_seldom()
    assert gc.get_threshold()[0] == 100_000
    search_as_usual()
    assert gc.get_threshold()[0] < 100_000


def test_what_somebody_else_chose_stays() -> None:
    gc.set_threshold(5000, 7, 8)
    search_as_usual()
    assert gc.get_threshold() == (5000, 7, 8)
