"""Data augmentation as torchvision v2 transforms: scaled crop, padding, brightness, resize."""

import math
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

Box = tuple[int, int, int, int]  # top, left, height, width
# Whether padding comes before the other augmentation of a crop, or after it (mmsegmentation).
Padding = Literal["first", "last"]

# ImageNet's mean color: padding that normalizes to about zero in every family.
MEAN_COLOR = (124, 116, 104)


class RandomScaledCrop(v2.Transform):  # type: ignore[misc]
    """Random resize and random crop in one, without resizing what is then cut away.

    The same pixels as resizing the whole picture (bilinear with antialiasing; labels nearest) and
    cropping: Pillow samples the crop's own region. A crop is redrawn, up to ten times, while one
    class fills it (mmsegmentation's ``cat_max_ratio``). Smaller pictures are padded, see
    :class:`PadToSize`, or stay smaller where the padding comes last.

    Args:
        size: (height, width) of the crop.
        max_class_share: a crop is accepted when it has at least two classes and none covers this
            share of the labeled pixels; 1 accepts every crop.
        ignore_index: label of the padding; does not count as a class.
        scale: range of the factor, which is drawn uniformly.
        padding: ``first``: here; ``last``: by a :class:`PadToSize` at the end of the augmentation.
        means: of the bands, see :class:`PadToSize`.
    """

    TRIES = 10

    def __init__(
        self,
        size: tuple[int, int],
        max_class_share: float,
        ignore_index: int,
        scale: tuple[float, float] = (1.0, 1.0),
        padding: Padding = "first",
        means: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.max_class_share = max_class_share
        self.ignore_index = ignore_index
        self.scale = scale
        self.pad = PadToSize(size, ignore_index, means)
        self.padding = padding

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Sample the factor and the corner of the crop."""
        height, width = _size(flat_inputs)
        masks = [x for x in flat_inputs if isinstance(x, tv_tensors.Mask)]
        # First the factor, then top and left: the random stream is part of the behavior.
        factor = torch.empty(1).uniform_(*self.scale).item()
        scaled = max(1, round(height * factor)), max(1, round(width * factor))
        crop_height = min(self.size[0], scaled[0])
        crop_width = min(self.size[1], scaled[1])
        for _ in range(self.TRIES + 1):
            top = int(torch.randint(scaled[0] - crop_height + 1, ()))
            left = int(torch.randint(scaled[1] - crop_width + 1, ()))
            box = (top, left, crop_height, crop_width)
            if not masks or self.max_class_share >= 1:
                break
            # Only the labels are cut to judge a crop; the image is cut once, when it is accepted.
            if self._accepts(_nearest(masks[0].as_subclass(Tensor), scaled, box)):
                break
        return {"scaled": scaled, "box": box}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Cut one input out, and pad it where the padding comes first."""
        cut = inpt
        if isinstance(inpt, tv_tensors.Mask):
            label = _nearest(inpt.as_subclass(Tensor), params["scaled"], params["box"])
            cut = tv_tensors.wrap(label, like=inpt)
        if isinstance(inpt, tv_tensors.Image):
            image = _bilinear(inpt.as_subclass(Tensor), params["scaled"], params["box"])
            cut = tv_tensors.wrap(image, like=inpt)
        if self.padding == "last":
            return cut
        return self.pad.transform(cut, {})

    def _accepts(self, labels: Tensor) -> bool:
        """Check that no class fills a crop."""
        # Two classes at least, and none with more than its share of the labeled pixels.
        counts = torch.bincount(labels.reshape(-1).int(), minlength=256)
        counts[self.ignore_index] = 0
        return bool((counts > 0).sum() > 1 and counts.max() < self.max_class_share * counts.sum())


class PadToSize(v2.Transform):  # type: ignore[misc]
    """Pad smaller pictures at the bottom and right: images with the mean color, labels as void.

    The color is the whole level next to ImageNet's mean: normalized, within 0.01 of the zero that
    mmsegmentation pads with.

    Args:
        size: (height, width) that comes out.
        ignore_index: label of the padding.
        means: of the bands of images that are no RGB, in units of [0, 1], instead of the color.
    """

    def __init__(self, size: tuple[int, int], ignore_index: int, means: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.size = size
        self.means = means
        self.ignore_index = ignore_index

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Pad one input."""
        if isinstance(inpt, tv_tensors.Mask):
            label = self._padded(inpt.as_subclass(Tensor)[None], self.ignore_index)[0]
            return tv_tensors.wrap(label, like=inpt)
        if isinstance(inpt, tv_tensors.Image):
            pixels = inpt.as_subclass(Tensor)
            image = self._padded(pixels, list(MEAN_COLOR)) if self.means is None else self._padded_bands(pixels)
            return tv_tensors.wrap(image, like=inpt)
        return inpt

    def _padded_bands(self, pixels: Tensor) -> Tensor:
        """Pad an image of bands ``[N, h, w]`` with their means."""
        assert self.means is not None
        means = torch.tensor(self.means)
        if pixels.dtype == torch.uint8:
            means = (means * 255).round()
        padded = means.to(pixels.dtype)[:, None, None].repeat(1, *self.size)
        padded[:, : pixels.shape[1], : pixels.shape[2]] = pixels
        return padded

    def _padded(self, pixels: Tensor, fill: int | list[int]) -> Tensor:
        """Pad ``[C, h, w]``."""
        padding = [0, 0, self.size[1] - pixels.shape[-1], self.size[0] - pixels.shape[-2]]
        if not any(padding):
            return pixels
        padded: Tensor = functional.pad(pixels, padding, fill=fill)
        return padded


class RandomBrightness(v2.Transform):  # type: ignore[misc]
    """Random brightness: add one number to all channels of an image and clip.

    Args:
        levels: the number is sampled uniformly from -levels to levels, of 255.
    """

    def __init__(self, levels: float) -> None:
        super().__init__()
        self.levels = levels

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Sample the number."""
        return {"shift": torch.empty(1).uniform_(-self.levels, self.levels).item()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Brighten an image; leave everything else."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        shifted = (inpt.as_subclass(Tensor).float() + params["shift"]).round().clamp(0, 255)
        return tv_tensors.wrap(shifted.to(torch.uint8), like=inpt)


class ResizeKeepRatio(v2.Transform):  # type: ignore[misc]
    """Multi-scale resize of an image and its boxes: the largest size within random limits.

    The aspect ratio is kept.

    Args:
        shorter: range of the shorter side's limit, which is sampled uniformly, ends included.
        longer: limit of the longer side; None: none.
    """

    def __init__(self, shorter: tuple[int, int], longer: int | None = None) -> None:
        super().__init__()
        self.shorter = shorter
        self.longer = longer

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Sample the limit."""
        # One draw even where low equals high: the random stream is part of the behavior.
        low, high = self.shorter
        side = int(torch.randint(low, high + 1, ()))
        limits: Limits = (side,)
        if self.longer is not None:
            limits = (side, self.longer)
        return {"size": limited_size(_size(flat_inputs), limits)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize an image or boxes; leave everything else."""
        if not isinstance(inpt, (tv_tensors.Image, tv_tensors.BoundingBoxes)):
            return inpt
        return functional.resize(inpt, list(params["size"]), antialias=True)


# What images with boxes are brought to: limits of the shorter and of the longer side, the aspect
# ratio kept.
Limits = tuple[int, int] | tuple[int]


def limits_factor(size: tuple[int, int], limits: Limits) -> float:
    """Return the largest factor at which an image (height, width) stays within the limits of its sides."""
    return min(limit / side for limit, side in zip(limits, sorted(size), strict=False))


def limited_size(size: tuple[int, int], limits: Limits) -> tuple[int, int]:
    """Return the size of an image within limits, rounded as mmdetection's ``Resize(keep_ratio=True)`` does."""
    factor = limits_factor(size, limits)
    height = max(1, int(size[0] * factor + 0.5))
    width = max(1, int(size[1] * factor + 0.5))
    return height, width


def _size(flat_inputs: list[Any]) -> tuple[int, int]:
    """Height and width of the picture among the inputs of a transform."""
    pictures = [x for x in flat_inputs if isinstance(x, (tv_tensors.Image, tv_tensors.Mask))]
    height, width = functional.get_size(pictures[0])
    return height, width


def _nearest(label: Tensor, scaled: tuple[int, int], box: Box) -> Tensor:
    """Resize a label ``[H, W]`` by nearest neighbor and crop it.

    Each pixel is the one at floor(position / factor).
    """
    H, W = label.shape
    top, left, height, width = box
    # Whole numbers: a position times a float factor can fall on the wrong side of a pixel's edge.
    rows = np.arange(top, top + height) * H // scaled[0]
    columns = np.arange(left, left + width) * W // scaled[1]
    # Rows are copied whole, columns pixel by pixel: those of a row that comes several times only once.
    first, last = int(rows[0]), int(rows[-1]) + 1
    if last - first < height:
        region = label[first:last].numpy().take(columns, 1)
        return torch.from_numpy(region.take(rows - first, 0))
    region = label.numpy().take(rows, 0)
    return torch.from_numpy(region.take(columns, 1))


def _bilinear(image: Tensor, scaled: tuple[int, int], box: Box) -> Tensor:
    """Resize an image ``[C, H, W]``, uint8 or float, by antialiased bilinear interpolation and crop it."""
    C, H, W = image.shape
    top, left, height, width = box
    if scaled == (H, W):
        return image[:, top : top + height, left : left + width]
    y = H / scaled[0]
    x = W / scaled[1]
    # What the crop's pixels are made of: its own region in the image, and around it the reach of
    # the filter, which is wider when shrinking.
    first, last = _reach(top, height, y, H)
    start, stop = _reach(left, width, x, W)
    region = image[:, first:last, start:stop]
    # The crop in coordinates of the region, with fractions of pixels, as Pillow takes it.
    right = min((left + width) * x - start, region.shape[2])
    bottom = min((top + height) * y - first, region.shape[1])
    inside = (left * x - start, top * y - first, right, bottom)
    if C == 3 and image.dtype == torch.uint8:
        return _resized(region.permute(1, 2, 0).numpy(), (width, height), inside)
    # Pillow knows no pictures of other bands, but takes each alone, 8 bits or floats.
    return torch.cat([_resized(band.numpy(), (width, height), inside) for band in region])


def _resized(pixels: np.ndarray, size: tuple[int, int], inside: tuple[float, float, float, float]) -> Tensor:
    """Resize the region ``inside`` (left, top, right, bottom) of ``[H, W, 3]`` or ``[H, W]`` to (width, height).

    Shape:
        Output: ``[3, height, width]`` or ``[1, height, width]``: channel by channel, as models take it.
    """
    resized = _picture(pixels).resize(size, Image.Resampling.BILINEAR, box=inside)
    channels = resized.split()
    planes = np.empty((len(channels), size[1], size[0]), pixels.dtype)
    for plane, channel in zip(planes, channels, strict=True):
        plane[:] = channel
    return torch.from_numpy(planes)


def _picture(pixels: np.ndarray) -> Image.Image:
    """Give pixels ``[H, W, 3]`` or ``[H, W]`` to Pillow; of colors the rows may be part of longer ones."""
    row, *inside = pixels.strides
    if inside != [3, 1]:
        return Image.fromarray(pixels)
    # Image.fromarray copies such a region twice, and writes the picture once more before.
    height, width, _ = pixels.shape
    stored = np.lib.stride_tricks.as_strided(pixels, ((height - 1) * row + 3 * width,), (1,), writeable=False)
    picture = Image.new("RGB", (width, height), None)
    picture.frombytes(stored, "raw", ("RGB", row, 1))
    return picture


def _reach(start: int, length: int, factor: float, limit: int) -> tuple[int, int]:
    """Range of source pixels along one axis that ``length`` resized pixels from ``start`` need."""
    first = max(0, int((start - 1) * factor - factor))
    last = min(limit, math.ceil((start + length + 1) * factor + factor) + 1)
    return first, last
