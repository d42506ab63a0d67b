"""Differences worked out by hand."""

import numpy as np
import pytest

from densekd.export.compare import Difference, compare_arrays, compare_labels, compare_maps, compare_sets


def test_relative_to_the_largest_output() -> None:
    wanted = [np.array([1.0, -4.0]), np.array([10.0])]
    found = [np.array([1.0, -3.0]), np.array([10.5])]
    assert compare_arrays(found, wanted).largest == 0.25


@pytest.mark.parametrize("found", [[np.array([1.0])], [np.array([1.0, np.nan])], [], [np.array([np.inf, 1.0])]])
def test_what_cannot_be_compared_is_infinitely_far(found: list[np.ndarray]) -> None:
    assert compare_arrays(found, [np.array([1.0, 2.0])]).largest == float("inf")


def test_share_of_equal_classes() -> None:
    wanted = np.array([[[[1.0, 0.0]], [[0.0, 2.0]]]])
    found = np.array([[[[1.0, 2.1]], [[0.0, 2.0]]]])
    assert compare_maps(found, wanted) == Difference(2.1 / 2, 0.5)


def test_another_label_is_as_far_as_its_logit_lies_below() -> None:
    logits = np.array([[[[1.0, 3.0]], [[0.75, 4.0]]]])
    wanted = np.array([[[0, 1]]])
    assert compare_labels(wanted, wanted, logits) == Difference(0.0, 1.0)
    assert compare_labels(np.array([[[1, 1]]]), wanted, logits) == Difference(0.25 / 4, 0.5)
    assert compare_labels(np.array([[[2, 1]]]), wanted, logits).largest == float("inf")


def test_queries_have_no_order() -> None:
    rng = np.random.default_rng(0)
    wanted = [rng.random((2, 9, 4)), rng.random((2, 9, 3))]
    order = rng.permutation(9)
    found = [array[:, order] for array in wanted]
    assert compare_arrays(found, wanted).largest > 0.1
    assert compare_sets(found, wanted).largest == 0
    # Two queries that became one are no permutation.
    found[0][:, 0] = found[0][:, 1]
    assert compare_sets(found, wanted).largest > 0.01


def test_queries_that_one_side_alone_has_are_as_far_as_can_be() -> None:
    wanted = [np.random.default_rng(0).random((1, 100, 4))]
    fewer = [wanted[0][:, :99]]
    assert compare_sets(fewer, wanted).largest == 1
    assert compare_sets(wanted, fewer).largest == 1
    assert compare_sets([wanted[0][:, :0]], wanted).largest == 1
    assert compare_sets([wanted[0][:, :0]], [wanted[0][:, :0]]).largest == 0
    assert compare_sets([wanted[0][..., :3]], wanted).largest == float("inf")
    assert compare_sets([np.full_like(wanted[0], np.nan)], wanted).largest == float("inf")


def test_equal_queries_have_partners_too() -> None:
    wanted = [np.ones((1, 5, 4))]
    assert compare_sets([wanted[0].copy()], wanted).largest == 0
    shifted = wanted[0].copy()
    shifted[0, 2] = 1.25
    assert compare_sets([shifted], wanted).largest == 0.25


def test_the_worst_of_several() -> None:
    assert Difference(0.1, 0.9).worst(Difference(0.2, None)) == Difference(0.2, 0.9)
