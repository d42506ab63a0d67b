"""How well the outlines of the classes agree."""

import torch
import torch.nn.functional as F
from torch import Tensor


class BoundaryScore:
    """Boundary F-score (Csurka et al., BMVC 2013): how well the outlines of the classes agree.

    For each class of an image, precision is the share of the predicted outline that lies within the
    tolerance of the true one, recall the reverse; F is their harmonic mean. The score is the mean
    over the classes of an image, then over images. An outline pixel touches a pixel of another
    class, in four directions; void pixels neither are nor make outlines.

    Args:
        num_classes: C.
        ignore_index: label of void pixels.
        tolerance: in image diagonals; 0.0075 is the paper's.
    """

    def __init__(self, num_classes: int, ignore_index: int, tolerance: float = 0.0075) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.tolerance = tolerance
        self.images: list[Tensor] = []

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        """Add images ``[B, H, W]``, integers."""
        for one, truth in zip(predicted, labels, strict=True):
            # The tolerance in pixels: a share of the image's diagonal.
            H, W = truth.shape
            radius = max(1, round(self.tolerance * (H**2 + W**2) ** 0.5))
            valid = truth != self.ignore_index
            scored: list[Tensor] = []
            for c in range(self.num_classes):
                region, real = (one == c) & valid, truth == c
                # A class that is neither there nor predicted has no outline to score.
                if not (region | real).any():
                    continue
                value = self._score(region, real, valid, radius)
                if value is not None:
                    scored.append(value)
            if scored:
                self.images.append(torch.stack(scored).mean())

    def compute(self) -> float | None:
        """Return the score in percent, None when nothing was counted."""
        if not self.images:
            return None
        return 100 * torch.stack(self.images).mean().item()

    @staticmethod
    def _score(predicted: Tensor, truth: Tensor, valid: Tensor, radius: int) -> Tensor | None:
        ours, theirs = _outline(predicted, valid), _outline(truth, valid)
        # A class that fills the image has no outline at all.
        if not (ours.any() or theirs.any()):
            return None
        # What of one outline lies near the other, in both directions.
        precision = (ours & _dilate(theirs, radius)).sum() / ours.sum().clamp(min=1)
        recall = (theirs & _dilate(ours, radius)).sum() / theirs.sum().clamp(min=1)
        return 2 * precision * recall / (precision + recall).clamp(min=1e-12)


def _outline(region: Tensor, valid: Tensor) -> Tensor:
    """Mark the pixels of a region ``[H, W]`` that touch a valid pixel outside it."""
    outside = (~region & valid)[None, None].float()
    # A convolution with a cross counts the neighbors outside, in four directions.
    cross = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]], device=region.device)[None, None]
    return region & (F.conv2d(outside, cross, padding=1)[0, 0] > 0)


def _dilate(region: Tensor, radius: int) -> Tensor:
    """Mark everything within ``radius`` of a region ``[H, W]``: a disk, put together from its rows."""
    H = region.shape[0]
    # Row dy of the disk is a segment: a maximum along the row, moved up and down by dy.
    plain = region[None, None].float()
    result = torch.zeros_like(plain)
    for dy in range(min(radius, H - 1) + 1):
        half = int((radius**2 - dy**2) ** 0.5)
        wide = F.max_pool2d(plain, (1, 2 * half + 1), 1, (0, half))
        result[:, :, dy:] = result[:, :, dy:].maximum(wide[:, :, : H - dy])
        result[:, :, : H - dy] = result[:, :, : H - dy].maximum(wide[:, :, dy:])
    return result[0, 0] > 0
