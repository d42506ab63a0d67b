"""Augmentation on torchvision's tv_tensors: what the source systems do, as v2 transforms."""

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

# ImageNet's mean color: padding that normalizes to about zero in every family.
MEAN_COLOUR = (124, 116, 104)


class RandomScaledCrop(v2.Transform):  # type: ignore[misc]
    """Resize by a random factor and crop at random, without resizing what is then cut away.

    The same pixels as resizing the whole picture (bilinear with antialiasing; labels nearest) and cropping: Pillow
    samples the crop's own region. A crop is redrawn, up to ten times, while one class fills it (mmsegmentation's
    ``cat_max_ratio``). Smaller pictures are padded at the bottom and right: images with the mean color, labels with
    ``ignore_index``.

    Args:
        size: (height, width) of the crop.
        max_class_share: a crop is accepted when it has at least two classes and none covers this share of the labelled
            pixels; 1 accepts every crop.
        ignore_index: label of the padding; does not count as a class.
        scale: range of the factor, which is drawn uniformly.
    """

    TRIES = 10

    def __init__(
        self,
        size: tuple[int, int],
        max_class_share: float,
        ignore_index: int,
        scale: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        self.size = size
        self.max_class_share = max_class_share
        self.ignore_index = ignore_index
        self.scale = scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the factor and the corner of the crop."""
        height, width = _size(flat_inputs)
        factor = torch.empty(1).uniform_(*self.scale).item()
        scaled = max(1, round(height * factor)), max(1, round(width * factor))
        labels = next((x for x in flat_inputs if isinstance(x, tv_tensors.Mask)), None)
        crop_height, crop_width = min(self.size[0], scaled[0]), min(self.size[1], scaled[1])
        for _ in range(self.TRIES + 1):
            top = int(torch.randint(scaled[0] - crop_height + 1, ()))
            left = int(torch.randint(scaled[1] - crop_width + 1, ()))
            box = (top, left, crop_height, crop_width)
            if labels is None or self.max_class_share >= 1:
                break
            if self._accepts(_nearest(labels.as_subclass(Tensor), scaled, box)):
                break
        return {"scaled": scaled, "box": box}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Cut one input out and pad it."""
        if not isinstance(inpt, (tv_tensors.Image, tv_tensors.Mask)):
            return inpt
        pixels, is_label = inpt.as_subclass(Tensor), isinstance(inpt, tv_tensors.Mask)
        cut = (_nearest if is_label else _bilinear)(pixels, params["scaled"], params["box"])
        padding = [0, 0, self.size[1] - cut.shape[-1], self.size[0] - cut.shape[-2]]
        if any(padding):
            fill: Any = self.ignore_index if is_label else list(MEAN_COLOUR)
            cut = functional.pad(cut[None] if is_label else cut, padding, fill=fill)
            cut = cut[0] if is_label else cut
        return tv_tensors.wrap(cut, like=inpt)

    def _accepts(self, labels: Tensor) -> bool:
        counts = torch.bincount(labels.reshape(-1).int(), minlength=256)
        counts[self.ignore_index] = 0
        return bool((counts > 0).sum() > 1 and counts.max() < self.max_class_share * counts.sum())


class RandomBrightness(v2.Transform):  # type: ignore[misc]
    """Add one number to all channels of an image and clip.

    Args:
        levels: the number is drawn uniformly from -levels to levels, of 255.
    """

    def __init__(self, levels: float) -> None:
        super().__init__()
        self.levels = levels

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the number."""
        return {"shift": torch.empty(1).uniform_(-self.levels, self.levels).item()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Brighten an image; leave everything else."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        shifted = (inpt.as_subclass(Tensor).float() + params["shift"]).round().clamp(0, 255)
        return tv_tensors.wrap(shifted.to(torch.uint8), like=inpt)


class ResizeKeepRatio(v2.Transform):  # type: ignore[misc]
    """Resize an image and its boxes, with the aspect ratio kept, to the largest size within limits that are drawn.

    Args:
        shorter: range of the shorter side's limit, which is drawn uniformly, both ends included.
        longer: limit of the longer side; None: none.
    """

    def __init__(self, shorter: tuple[int, int], longer: int | None = None) -> None:
        super().__init__()
        self.shorter = shorter
        self.longer = longer

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the limit."""
        low, high = self.shorter
        side = int(torch.randint(low, high + 1, ()))
        limits = (side,) if self.longer is None else (side, self.longer)
        return {"size": limited_size(_size(flat_inputs), limits)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize an image or boxes; leave everything else."""
        if not isinstance(inpt, (tv_tensors.Image, tv_tensors.BoundingBoxes)):
            return inpt
        return functional.resize(inpt, list(params["size"]), antialias=True)


# What images with boxes are brought to: limits of the shorter and of the longer side, the aspect ratio kept.
Limits = tuple[int, int] | tuple[int]


def limits_factor(size: tuple[int, int], limits: Limits) -> float:
    """Return the largest factor at which an image (height, width) stays within the limits of its sides."""
    return min(limit / side for limit, side in zip(limits, sorted(size), strict=False))


def limited_size(size: tuple[int, int], limits: Limits) -> tuple[int, int]:
    """Return the size of an image within limits, rounded as mmdetection's ``Resize(keep_ratio=True)`` does."""
    factor = limits_factor(size, limits)
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    return height, width


def photometric_distortion() -> v2.Transform:
    """Distort uint8 images as mmsegmentation does.

    Brightness +-32 levels, contrast 0.5-1.5 (before or after the next two), saturation 0.5-1.5, hue +-18 degrees, each
    with probability one half.
    """

    def sometimes(transform: v2.Transform) -> v2.Transform:
        return v2.RandomApply([transform], p=0.5)

    contrast = sometimes(v2.ColorJitter(contrast=(0.5, 1.5)))
    color = [sometimes(v2.ColorJitter(saturation=(0.5, 1.5))), sometimes(v2.ColorJitter(hue=(-0.05, 0.05)))]
    orders = [v2.Compose([contrast, *color]), v2.Compose([*color, contrast])]
    return v2.Compose([sometimes(RandomBrightness(32)), v2.RandomChoice(orders)])


def _size(flat_inputs: list[Any]) -> tuple[int, int]:
    height, width = functional.get_size(
        next(x for x in flat_inputs if isinstance(x, (tv_tensors.Image, tv_tensors.Mask)))
    )
    return height, width


def _nearest(label: Tensor, scaled: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    """Return a box of a label ``[H, W]`` scaled to a size: each pixel the one at floor(position / factor)."""
    (H, W), (top, left, height, width) = label.shape[-2:], box
    rows = (torch.arange(top, top + height) * H).div_(scaled[0], rounding_mode="floor")
    columns = (torch.arange(left, left + width) * W).div_(scaled[1], rounding_mode="floor")
    return label.index_select(0, rows).index_select(1, columns)


def _bilinear(image: Tensor, scaled: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    """Return a box of a uint8 image ``[3, H, W]`` scaled to a size."""
    (H, W), (top, left, height, width) = image.shape[-2:], box
    if scaled == (H, W):
        return image[:, top : top + height, left : left + width]
    y, x = H / scaled[0], W / scaled[1]
    # What the box's own pixels are made of: its region and the reach of the filter, which is wider when shrinking.
    first, last = max(0, int((top - 1) * y - y)), min(H, math.ceil((top + height + 1) * y + y) + 1)
    start, stop = max(0, int((left - 1) * x - x)), min(W, math.ceil((left + width + 1) * x + x) + 1)
    region = Image.fromarray(image[:, first:last, start:stop].permute(1, 2, 0).numpy())
    inside = (left * x - start, top * y - first, (left + width) * x - start, (top + height) * y - first)
    inside = (inside[0], inside[1], min(inside[2], region.width), min(inside[3], region.height))
    resized = np.array(region.resize((width, height), Image.Resampling.BILINEAR, box=inside))
    return torch.from_numpy(resized).permute(2, 0, 1)
