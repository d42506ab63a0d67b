"""Calibration error: how far a model's confidence is from its accuracy."""

import torch
from torch import Tensor


class Calibration:
    """Expected calibration error (Guo et al., ICML 2017, arXiv 1706.04599, eq. 3) over labelled pixels.

    Args:
        ignore_index: label of void pixels.
        bins: equal bins of confidence.
    """

    def __init__(self, ignore_index: int, bins: int = 15) -> None:
        self.ignore_index = ignore_index
        self.sums = torch.zeros(3, bins, dtype=torch.float64)

    def update(self, predicted: Tensor, confidence: Tensor, labels: Tensor) -> None:
        """Add pixels: class numbers, confidences in (0, 1], labels; one shape."""
        bins = self.sums.shape[1]
        # Void pixels go to one bin past the end.
        own = (confidence * bins).long().clamp(max=bins - 1)
        index = torch.where(labels == self.ignore_index, bins, own).flatten()
        right = predicted == labels
        # Of each bin: how many pixels, the sum of their confidences, how many are right.
        for row, weights in enumerate((None, confidence.double().flatten(), right.double().flatten())):
            counted = torch.bincount(index, weights, minlength=bins + 1)[:bins]
            self.sums[row] += counted.double().cpu()

    def compute(self) -> float | None:
        """Return the mean gap between confidence and accuracy in percent, None when nothing was counted."""
        count, confidence, right = self.sums
        if not count.any():
            return None
        # The gap of a bin, |confidence - accuracy|, counts as often as the bin has pixels.
        gaps = (confidence - right).abs()
        return float(100 * gaps.sum() / count.sum())
