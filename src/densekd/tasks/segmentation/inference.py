"""Sliding-window inference and test-time augmentation: windows, scales and mirror images, averaged.

Nothing here holds more than one tensor of scores at full resolution, and the plain mode none:
logits stay at the model's own stride and are enlarged a few rows at a time, just before the maximum
is taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.ops.precision import to_float32

Size = tuple[int, int]
Forward = Callable[[Tensor], Tensor]

_STRIPE_BYTES = 1 << 25


class Window(NamedTuple):
    """Sliding windows.

    Args:
        crop: (height, width) of a window; a smaller image is one window.
        stride: (vertical, horizontal) step; the last window of a row or column is moved back to end
            at the border.
        batch: windows that go through the model together.
    """

    crop: Size
    stride: Size
    batch: int = 4


class Prediction(NamedTuple):
    """Class and confidence of every pixel.

    Shape:
        label: int64 ``[B, H, W]``; confidence: the greatest (averaged) probability, ``[B, H, W]``
            in (0, 1].
    """

    label: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class Inference:
    """The mode of prediction.

    Args:
        window: sliding windows, whose overlapping logits are averaged; None for the whole image at
            once.
        scales: factors on the image's size; the scores of all are averaged.
        flip: ``horizontal`` also predicts the mirrored image at every scale.
        average: what is averaged over scales and mirror images: ``softmax`` (mmsegmentation) or
            ``logits`` (CIRKD, HWD).
        divisor: the sides of an image are rounded up to multiples of it, and the image is stretched
            to them (SegFormer's ``AlignedResize``); 1 leaves it.
    """

    window: Window | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: Literal["none", "horizontal"] = "none"
    average: Literal["softmax", "logits"] = "softmax"
    divisor: int = 1

    def __post_init__(self) -> None:
        if self.divisor < 1:
            raise ValueError(f"divisor must be at least 1, got {self.divisor}")
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales must be positive, got {self.scales}")
        if self.window is None:
            return
        for step, side in zip(self.window.stride, self.window.crop, strict=True):
            if not 0 < step <= side:
                got = f"{self.window.stride} of {self.window.crop}"
                raise ValueError(f"strides must be between 1 and the crop, got {got}")

    def predict(self, forward: Forward, images: Tensor, size: Size, align_corners: bool) -> Prediction:
        """Predict images.

        Args:
            forward: float images -> logits of any stride.
            images: ``[B, 3, H, W]``, float in [0, 1].
            size: (height, width) of the prediction.
            align_corners: how the logits are enlarged.
        """
        mirrored = (False, True) if self.flip == "horizontal" else (False,)
        views = list(product(self.scales, mirrored))
        # One view needs no average, and no map of scores at full size.
        if len(views) == 1:
            scores = self._logits(forward, images, views[0], align_corners)
            return _decide(scores, size, align_corners, "logits")
        total: Tensor | None = None
        for view in views:
            logits = self._logits(forward, images, view, align_corners)
            if total is None:
                total = logits.new_zeros(*logits.shape[:2], *size)
            for rows in _stripes(total):
                part = upsample_rows(logits, size, align_corners, rows)
                if self.average == "softmax":
                    part = part.softmax(1)
                total[:, :, rows.start : rows.stop] += part
        assert total is not None
        return _decide(total.div_(len(views)), size, align_corners, self.average)

    def _logits(self, forward: Forward, images: Tensor, view: tuple[float, bool], align_corners: bool) -> Tensor:
        """Return logits of one view, in at least float32, at the model's stride.

        Those of windows are at the size of the image that was fed.
        """
        scale, mirrored = view
        if scale != 1:
            height, width = images.shape[-2:]
            size = [max(1, round(scale * height)), max(1, round(scale * width))]
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        images = _aligned(images, self.divisor)
        if mirrored:
            images = images.flip(3)
        if self.window is None:
            logits = to_float32(forward(images))
        else:
            logits = _slide(forward, images, self.window, align_corners)
        # Mirrored back, so that scores of all views agree in place.
        return logits.flip(3) if mirrored else logits


WHOLE = Inference()


def upsample_rows(logits: Tensor, size: Size, align_corners: bool, rows: range) -> Tensor:
    """Return some rows of bilinearly resized logits: ``F.interpolate(logits, size)[:, :, rows]``.

    Args:
        logits: ``[B, C, h, w]``.
        size: (H, W) of the whole result.
        align_corners: as ``F.interpolate``'s.
        rows: consecutive rows of the result.

    Returns:
        ``[B, C, len(rows), W]``
    """
    (h, w), (H, W) = logits.shape[-2:], size
    # Where the rows lie in the map: corners on corners, or centers on centers.
    wanted = torch.arange(rows.start, rows.stop, device=logits.device, dtype=torch.float64)
    y = ((wanted + 0.5) * (h / H) - 0.5).clamp(min=0)
    if align_corners:
        y = wanted * ((h - 1) / max(H - 1, 1))
    above = y.floor().long().clamp(max=h - 1)
    weight = (y - above).to(logits.dtype)[:, None]
    # Rows first: they are few, and there the map is still narrow.
    mixed = logits[:, :, above].lerp(logits[:, :, (above + 1).clamp(max=h - 1)], weight)
    if w == W:
        return mixed
    return F.interpolate(mixed, (len(rows), W), mode="bilinear", align_corners=align_corners)


def windows(size: Size, window: Window) -> Iterator[tuple[slice, slice]]:
    """List the windows that cover an image of ``size``, row by row, as mmsegmentation does."""

    (H, W), (crop_h, crop_w) = size, window.crop
    for top in _starts(H, crop_h, window.stride[0]):
        for left in _starts(W, crop_w, window.stride[1]):
            yield slice(top, min(top + crop_h, H)), slice(left, min(left + crop_w, W))


def _aligned(images: Tensor, divisor: int) -> Tensor:
    """Stretch images to the next multiples of the divisor in height and width."""
    height, width = images.shape[-2:]
    size = (height + -height % divisor, width + -width % divisor)
    if size == (height, width):
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False)


def _starts(length: int, crop: int, stride: int) -> list[int]:
    """Return where the windows along one side begin.

    The last one is moved back to end at the border.
    """
    steps = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(k * stride, length - crop), 0) for k in range(steps)]


def _slide(forward: Forward, images: Tensor, window: Window, align_corners: bool) -> Tensor:
    """Average the enlarged logits of all windows: ``[B, C, H, W]``, the one full-size tensor."""
    B, _, H, W = images.shape
    places = list(windows((H, W), window))
    count = images.new_zeros(H, W)
    total: Tensor | None = None
    for first in range(0, len(places), window.batch):
        # Several windows of all images go through the model together.
        some = places[first : first + window.batch]
        crops = torch.cat([images[:, :, y, x] for y, x in some])
        logits = to_float32(forward(crops))
        for (y, x), part in zip(some, torch.split(logits, B), strict=True):
            # The sum needs the number of classes, which the first window tells.
            size = y.stop - y.start, x.stop - x.start
            if total is None:
                total = part.new_zeros(*part.shape[:2], H, W)
            total[:, :, y, x] += F.interpolate(part, size, mode="bilinear", align_corners=align_corners)
            count[y, x] += 1
    assert total is not None
    return total.div_(count)


def _decide(scores: Tensor, size: Size, align_corners: bool, kind: Literal["softmax", "logits"]) -> Prediction:
    """Take the maximum, a few rows at a time.

    ``scores`` of another size are enlarged on the way.
    """
    B = len(scores)
    label = torch.empty(B, *size, dtype=torch.int64, device=scores.device)
    confidence = torch.empty(B, *size, dtype=scores.dtype, device=scores.device)
    for rows in _stripes(scores, size):
        part = scores[:, :, rows.start : rows.stop]
        if scores.shape[-2:] != torch.Size(size):
            part = upsample_rows(scores, size, align_corners, rows)
        highest, label[:, rows.start : rows.stop] = part.max(1)
        if kind == "logits":
            # The largest softmax probability without the softmax map: exp(max - logsumexp).
            highest = (highest - part.logsumexp(1)).exp()
        confidence[:, rows.start : rows.stop] = highest
    return Prediction(label, confidence)


def _stripes(scores: Tensor, size: Size | None = None) -> Iterator[range]:
    """Cut the rows of a map into stripes whose scores take a few megabytes."""
    # Bytes of one row of all scores at the wanted size.
    height, width = size or (scores.shape[2], scores.shape[3])
    row = len(scores) * scores.shape[1] * width * scores.element_size()
    step = max(1, _STRIPE_BYTES // row)
    for top in range(0, height, step):
        yield range(top, min(top + step, height))
