"""Means and intervals: against a literal computation, scipy, and cases whose answer is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from densekd.compare.statistics import over_seeds, paired, paired_by_image
from densekd.run.image_headline import headline
from densekd.students_t import QUANTILES, half_width
from densekd.tasks.segmentation.confusion import ConfusionMatrix


def counts(generator: np.random.Generator, images: int, classes: int) -> np.ndarray:
    """Return hits, labels and predictions of images, as a confusion of random pixels has them."""
    matrix = ConfusionMatrix(classes, 255)
    labels = torch.from_numpy(generator.integers(0, classes, (images, 6, 7)))
    right = torch.from_numpy(generator.random((images, 6, 7)) < 0.6)
    other = torch.from_numpy(generator.integers(0, classes, (images, 6, 7)))
    matrix.update(torch.where(right, labels, other), labels)
    return torch.cat(matrix.images).numpy()


def literal_miou(parts: np.ndarray, chosen: list[int]) -> float:
    """Compute the mIoU of some images, which may be there twice, one number at a time."""
    classes = parts.shape[2]
    found = []
    for c in range(classes):
        hits = sum(int(parts[k, 0, c]) for k in chosen)
        union = sum(int(parts[k, 1, c]) + int(parts[k, 2, c]) - int(parts[k, 0, c]) for k in chosen)
        if union:
            found.append(100 * hits / union)
    return sum(found) / len(found)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), seeds=st.integers(1, 4), images=st.integers(2, 6), classes=st.integers(2, 4))
def test_paired_intervals_are_those_of_a_literal_bootstrap(seed: int, seeds: int, images: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    ours = [counts(generator, images, classes) for _ in range(seeds)]
    theirs = [counts(generator, images, classes) for _ in range(seeds)]
    found = paired_by_image(ours, theirs, draws=50)
    # The same draws, and everything else spelled out.
    drawing = np.random.default_rng(0)
    times = drawing.multinomial(images, np.full(images, 1 / images), 50)
    which = drawing.integers(seeds, size=(50, seeds))
    differences = []
    for draw in range(50):
        chosen = [k for k in range(images) for _ in range(times[draw, k])]
        parts = [literal_miou(ours[s], chosen) - literal_miou(theirs[s], chosen) for s in which[draw]]
        differences.append(sum(parts) / seeds)
    everything = list(range(images))
    whole = [literal_miou(a, everything) - literal_miou(b, everything) for a, b in zip(ours, theirs, strict=True)]
    assert found.value == pytest.approx(sum(whole) / seeds, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(np.percentile(differences, [2.5, 97.5]).tolist(), abs=1e-9)
    assert found.seeds == seeds


def test_pairs_are_certain_where_means_are_not() -> None:
    # Seeds differ by ten points and the methods by one: only the pairs show it.
    alone, taught = [40.0, 50.0, 45.0], [41.1, 50.9, 46.0]
    difference = paired(taught, alone)
    assert difference.certain
    assert difference.value == pytest.approx(1.0)
    mean = over_seeds(taught)
    assert mean.low is not None
    assert mean.low < 45


def test_equal_methods_are_not_told_apart() -> None:
    parts = counts(np.random.default_rng(0), 8, 3)
    same = paired_by_image([parts, parts], [parts, parts])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert not same.certain


def test_one_seed_has_no_interval_over_seeds() -> None:
    assert over_seeds([41.0]).low is None
    parts = counts(np.random.default_rng(0), 8, 3)
    better = parts.copy()
    better[:, 0] = np.minimum(better[:, 1], better[:, 2])
    by_image = paired_by_image([better], [parts])
    assert by_image.basis == "images"
    assert by_image.certain


def test_quantiles_are_those_of_students_t() -> None:
    assert pytest.approx([t.ppf(0.975, k) for k in range(1, len(QUANTILES) + 1)], abs=5e-5) == list(QUANTILES)
    values = [1.0, 2.0, 4.0]
    assert half_width(values) == pytest.approx(t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3), abs=1e-3)


def test_depth_is_the_mean_over_measured_images() -> None:
    scores = np.array([[0.1, 2.0, 90.0, 1.0], [0.3, 2.0, 80.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert headline(scores, np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0]])) == pytest.approx([0.2, 0.3])
