"""The time left: from the first step on, without the first one's warm-up, with the validations to come."""

import pytest

from densekd.run.time_left import TimeLeft


def test_from_the_first_step_on() -> None:
    left = TimeLeft(steps=11, every=0)
    left.begin(0, 100.0)
    assert left.words == ""
    left.stepped(1, 130.0)
    assert left.seconds == pytest.approx(300)
    # The first step took 30 seconds, the others take 2.
    left.stepped(2, 132.0)
    left.stepped(3, 134.0)
    assert left.seconds == pytest.approx(16)
    assert left.words == "0:16 left"


def test_validations_count_once_one_was_timed() -> None:
    left = TimeLeft(steps=10, every=5)
    left.begin(0, 0.0)
    left.stepped(1, 1.0)
    for step in range(2, 6):
        left.stepped(step, float(step))
    assert left.words == "over 0:05 left"
    # Twenty seconds of validation are no part of a step.
    left.validation(20.0)
    left.stepped(6, 26.0)
    assert left.seconds == pytest.approx(4 * 1 + 20)
    assert left.words == "0:24 left"


def test_a_resumed_training_has_only_the_rest_before_it() -> None:
    left = TimeLeft(steps=1000, every=100)
    left.begin(900, 0.0)
    left.stepped(901, 5.0)
    left.stepped(902, 6.0)
    assert left.seconds == pytest.approx(98)
    assert left.words == "over 1:38 left"


def test_days() -> None:
    left = TimeLeft(steps=100_000, every=0)
    left.begin(0, 0.0)
    left.stepped(1, 6.0)
    assert left.words == "6 d 22 h left"
