import numpy as np
import pytest

from densekd.data.lookup import holds_only, looked_up


@pytest.mark.parametrize("classes", [1, 19, 127, 128, 129, 255])
def test_only_classes_and_void_are_known(classes: int) -> None:
    known = {*range(classes), 255}
    for value in range(256):
        values = np.array([[0, value], [255, 0]], np.uint8)
        assert holds_only(values, known) == (value in known)


def test_any_set_of_values_may_be_known() -> None:
    values = np.array([[3, 7], [7, 200]], np.uint8)
    assert holds_only(values, {3, 7, 200})
    assert not holds_only(values, {3, 7})


def test_values_are_looked_up_in_a_table() -> None:
    table = np.arange(256, dtype=np.uint8)[::-1].copy()
    values = np.array([[0, 1, 2], [255, 254, 9]], np.uint8)
    np.testing.assert_array_equal(looked_up(values[:, ::2], table), [[255, 253], [0, 246]])
