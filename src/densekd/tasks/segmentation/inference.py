"""Sliding-window inference and test-time augmentation: windows, scales and mirror images, averaged.

Logits stay at the model's own stride and are enlarged a few rows at a time, just before the maximum is
taken, so that no map of scores at full resolution is held. Only where so many views would take more
than that map, they are added up in it one after the other.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.data.large_images import LargeImage
from densekd.ops.finite import require_finite_output
from densekd.ops.precision import to_float32
from densekd.tasks.common import to_float
from densekd.tasks.segmentation.sliding import (
    Forward,
    MapRows,
    MirroredRows,
    Pixels,
    Rows,
    Size,
    Window,
    WindowRows,
    windows,
)

__all__ = ["WHOLE", "FilePixels", "Inference", "Prediction", "TensorPixels", "Window", "upsample_rows", "windows"]

# Scores of a stripe; of one of which the classes alone are asked, with windows above and below it in memory.
_STRIPE_BYTES = 1 << 25
_THIN_STRIPE_BYTES = 1 << 23
# Classes whose numbers fit a byte.
_BYTE = 256


class Prediction(NamedTuple):
    """Class and confidence of every pixel.

    Shape:
        label: int64 ``[B, H, W]``; confidence: the greatest (averaged) probability, ``[B, H, W]``
            in (0, 1].
    """

    label: Tensor
    confidence: Tensor


class ScoredRows(NamedTuple):
    """Scores ``[B, C, len(rows), W]`` of the pixels of some rows, and what they are."""

    rows: range
    scores: Tensor
    kind: Literal["softmax", "logits"]


class TensorPixels:
    """Images in memory, uint8 or float in [0, 1], ``[B, 3, H, W]``; the whole is never made float."""

    def __init__(self, images: Tensor) -> None:
        self._images = images

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, 3, H, W)."""
        B, C, H, W = self._images.shape
        return B, C, H, W

    def crop(self, y: slice, x: slice) -> Tensor:
        """Return a rectangle of all images, float in [0, 1]."""
        return to_float(self._images[:, :, y, x])


class FilePixels:
    """One picture in a file, of which only rectangles are read.

    Args:
        image: the picture.
        device: where the model is.
    """

    def __init__(self, image: LargeImage, device: torch.device) -> None:
        self._image = image
        self._device = device

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(1, 3, H, W)."""
        return 1, 3, *self._image.size

    def crop(self, y: slice, x: slice) -> Tensor:
        """Read a rectangle, float in [0, 1]."""
        rectangle = torch.from_numpy(self._image.read(y, x))
        return to_float(rectangle.permute(2, 0, 1)[None].to(self._device))


class _MirroredPixels:
    """Images mirrored from left to right."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self._pixels.shape

    def crop(self, y: slice, x: slice) -> Tensor:
        width = self._pixels.shape[3]
        return self._pixels.crop(y, slice(width - x.stop, width - x.start)).flip(3)


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

    @property
    def reads_windows(self) -> bool:
        """Whether no more of an image than its windows is needed at once."""
        return self.window is not None and self.scales == (1.0,) and self.divisor == 1

    def predict(self, forward: Forward, images: Tensor | Pixels, size: Size, align_corners: bool) -> Prediction:
        """Predict images.

        Args:
            forward: float images -> logits of any stride.
            images: ``[B, 3, H, W]``, uint8 or float in [0, 1], or what reads them by rectangle.
            size: (height, width) of the prediction.
            align_corners: how the logits are enlarged.
        """
        B, (H, W) = images.shape[0], size
        label: Tensor | None = None
        for rows, scores, kind in self._scored_rows(forward, images, size, align_corners, _STRIPE_BYTES):
            if label is None:
                label = scores.new_empty((B, H, W), dtype=torch.int64)
                confidence = scores.new_empty((B, H, W))
            there = slice(rows.start, rows.stop)
            label[:, there], confidence[:, there] = _decide(scores, kind)
        assert label is not None
        # A probability is NaN where a logit is, or where it is infinite.
        require_finite_output(confidence, "the logits are")
        return Prediction(label, confidence)

    def classes(self, forward: Forward, images: Tensor | Pixels, size: Size, align_corners: bool) -> Tensor:
        """Predict the classes of images alone, int64 ``[B, H, W]`` on the model's device: half the time of
        :meth:`predict`, and bit for bit its labels."""
        label: Tensor | None = None
        for rows, scores, _ in self._scored_rows(forward, images, size, align_corners, _STRIPE_BYTES):
            if label is None:
                label = scores.new_empty((images.shape[0], *size), dtype=torch.int64)
                greatest = scores.new_full((), -torch.inf)
            highest, label[:, rows.start : rows.stop] = scores.max(1)
            # NaN where any score is.
            torch.maximum(greatest, highest.amax(), out=greatest)
        assert label is not None
        require_finite_output(greatest, "the logits are")
        return label

    def label(self, forward: Forward, images: Tensor | Pixels, size: Size, align_corners: bool) -> Tensor:
        """Predict the classes of images alone, in a fraction of the memory; see :meth:`predict`.

        Returns:
            ``[B, H, W]`` on the CPU: uint8, or int16 of more than 256 classes.
        """
        label: Tensor | None = None
        for rows, scores, _ in self._scored_rows(forward, images, size, align_corners, _THIN_STRIPE_BYTES):
            if label is None:
                dtype = torch.uint8 if scores.shape[1] <= _BYTE else torch.int16
                label = torch.empty((images.shape[0], *size), dtype=dtype)
                greatest = scores.new_full((), -torch.inf)
            label[:, rows.start : rows.stop] = scores.argmax(1)
            # NaN where any score is.
            torch.maximum(greatest, scores.amax(), out=greatest)
        assert label is not None
        require_finite_output(greatest, "the logits are")
        return label

    def _scored_rows(
        self, forward: Forward, images: Tensor | Pixels, size: Size, align_corners: bool, stripe: int
    ) -> Iterator[ScoredRows]:
        """Score images a few rows at a time, from top to bottom."""
        pixels = TensorPixels(images) if isinstance(images, Tensor) else images
        mirrored = (False, True) if self.flip == "horizontal" else (False,)
        views = list(product(self.scales, mirrored))
        first = self._logits(forward, pixels, views[0], align_corners)
        # One view needs no average.
        if len(views) == 1:
            for rows in _stripes(first.shape, size, stripe):
                yield ScoredRows(rows, upsample_rows(first, size, align_corners, rows), "logits")
            return
        rest = (self._logits(forward, pixels, view, align_corners) for view in views[1:])
        if self._fits(first, size):
            scores = self._stripes_of_views([first, *rest], size, align_corners, stripe)
        else:
            scores = self._sum_of_views(chain([first], rest), size, align_corners, stripe)
        for rows, part in scores:
            yield ScoredRows(rows, part.div_(len(views)), self.average)

    def _fits(self, first: Rows, size: Size) -> bool:
        """Whether what all views hold is less than a map of all scores at the size of the prediction."""
        area = sum(scale**2 for scale in self.scales) / self.scales[0] ** 2
        if self.flip == "horizontal":
            area *= 2
        B, C, _, _ = first.shape
        return first.held * area <= B * C * size[0] * size[1]

    def _stripes_of_views(
        self, views: list[Rows], size: Size, align_corners: bool, stripe: int
    ) -> Iterator[tuple[range, Tensor]]:
        """Add up the scores of all views, stripe by stripe."""
        for rows in _stripes(views[0].shape, size, stripe):
            total = self._scores(views[0], size, align_corners, rows).clone()
            for view in views[1:]:
                total += self._scores(view, size, align_corners, rows)
            yield rows, total

    def _sum_of_views(
        self, views: Iterable[Rows], size: Size, align_corners: bool, stripe: int
    ) -> Iterator[tuple[range, Tensor]]:
        """Add up the scores of all views, view by view, in one map."""
        total: Tensor | None = None
        for view in views:
            for rows in _stripes(view.shape, size, stripe):
                part = self._scores(view, size, align_corners, rows)
                if total is None:
                    total = part.new_zeros(*part.shape[:2], *size)
                total[:, :, rows.start : rows.stop] += part
        assert total is not None
        for rows in _stripes((*total.shape[:2], *size), size, stripe):
            yield rows, total[:, :, rows.start : rows.stop]

    def _scores(self, view: Rows, size: Size, align_corners: bool, rows: range) -> Tensor:
        part = upsample_rows(view, size, align_corners, rows)
        if self.average == "softmax":
            return part.softmax(1)
        return part

    def _logits(self, forward: Forward, pixels: Pixels, view: tuple[float, bool], align_corners: bool) -> Rows:
        """Return logits of one view, in at least float32, at the model's stride.

        Those of windows are at the size of the image that was fed.
        """
        scale, mirrored = view
        pixels = self._resized(pixels, scale)
        if mirrored:
            pixels = _MirroredPixels(pixels)
        source: Rows
        if self.window is None:
            source = MapRows(to_float32(forward(_whole(pixels))))
        else:
            source = WindowRows(forward, pixels, self.window, align_corners)
        return MirroredRows(source) if mirrored else source

    def _resized(self, pixels: Pixels, scale: float) -> Pixels:
        """Return images at a scale, stretched to the next multiples of the divisor."""
        height, width = pixels.shape[2:]
        if scale == 1 and height % self.divisor == 0 and width % self.divisor == 0:
            return pixels
        images = _whole(pixels)
        if scale != 1:
            size = [max(1, round(scale * height)), max(1, round(scale * width))]
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return TensorPixels(_aligned(images, self.divisor))


WHOLE = Inference()


def upsample_rows(logits: Tensor | Rows, size: Size, align_corners: bool, rows: range) -> Tensor:
    """Return some rows of bilinearly resized logits: ``F.interpolate(logits, size)[:, :, rows]``.

    Args:
        logits: ``[B, C, h, w]``, or what reads them by rows.
        size: (H, W) of the whole result.
        align_corners: as ``F.interpolate``'s.
        rows: consecutive rows of the result.

    Returns:
        ``[B, C, len(rows), W]``
    """
    source = MapRows(logits) if isinstance(logits, Tensor) else logits
    w = source.shape[3]
    H, W = size
    mixed = _mixed_rows(source, H, align_corners, rows)
    if w == W:
        return mixed
    return F.interpolate(mixed, (len(rows), W), mode="bilinear", align_corners=align_corners)


def _mixed_rows(source: Rows, height: int, align_corners: bool, rows: range) -> Tensor:
    """Resize logits in height alone: rows are few, and there the map is still narrow."""
    h = source.shape[2]
    if h == height:
        return source.rows(rows)
    # Where the rows lie in the map: corners on corners, or centers on centers.
    wanted = torch.arange(rows.start, rows.stop, dtype=torch.float64)
    y = ((wanted + 0.5) * (h / height) - 0.5).clamp(min=0)
    if align_corners:
        y = wanted * ((h - 1) / max(height - 1, 1))
    above = y.floor().long().clamp(max=h - 1)
    below = (above + 1).clamp(max=h - 1)
    # Only the rows of the map that these lie on are read.
    first = int(above[0])
    part = source.rows(range(first, int(below[-1]) + 1))
    weight = (y - above).to(part)[:, None]
    return part[:, :, (above - first).to(part.device)].lerp(part[:, :, (below - first).to(part.device)], weight)


def _whole(pixels: Pixels) -> Tensor:
    height, width = pixels.shape[2:]
    return pixels.crop(slice(0, height), slice(0, width))


def _aligned(images: Tensor, divisor: int) -> Tensor:
    """Stretch images to the next multiples of the divisor in height and width."""
    height, width = images.shape[-2:]
    size = (height + -height % divisor, width + -width % divisor)
    if size == (height, width):
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False)


def _decide(scores: Tensor, kind: Literal["softmax", "logits"]) -> tuple[Tensor, Tensor]:
    """Return the class of the highest score, and its probability."""
    highest, label = scores.max(1)
    if kind == "logits":
        # The largest softmax probability without the softmax map: exp(max - logsumexp).
        highest = (highest - scores.logsumexp(1)).exp()
    return label, highest


def _stripes(shape: tuple[int, ...], size: Size, stripe: int) -> Iterator[range]:
    """Cut the rows of a prediction into stripes whose scores take so many bytes."""
    height, width = size
    # Bytes of one row of all scores, in float32.
    row = shape[0] * shape[1] * width * 4
    step = max(1, stripe // row)
    for top in range(0, height, step):
        yield range(top, min(top + step, height))
