"""Confusion matrices worked out by hand."""

import numpy as np
import pytest

from densekd.doctor.classes import best_order, constant_guess, miou


def test_order_of_classes_by_hand() -> None:
    assert best_order(np.array([[0, 9, 1], [8, 0, 0], [0, 1, 7]])) == [1, 0, 2]
    # Without any hit a class keeps its own output where that is free.
    assert best_order(np.array([[0, 0, 5], [0, 0, 0], [0, 0, 0]])) == [2, 1, 0]


def test_a_constant_guess_has_the_frequency_of_one_class() -> None:
    counts = np.array([[10, 50, 0], [0, 30, 10], [0, 0, 0]])
    # 60 of 100 pixels are of the first class, and two classes occur.
    assert constant_guess(counts) == pytest.approx(30)
    assert constant_guess(np.zeros((3, 3))) == 0


def test_miou_counts_classes_that_occur() -> None:
    # 10 / 60 and 30 / 90; the third class does not occur.
    assert miou(np.array([[10, 50, 0], [0, 30, 10], [0, 0, 0]])) == pytest.approx(100 * (1 / 6 + 1 / 3) / 2)
