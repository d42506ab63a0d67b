"""Augmentation on torchvision's tv_tensors: what the source systems do, as v2 transforms."""

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

# ImageNet's mean colour: padding that normalises to about zero in every family.
MEAN_COLOUR = (124, 116, 104)


class RandomScale(v2.Transform):  # type: ignore[misc]
    """Resize by a factor drawn uniformly, keeping the aspect ratio; bilinear images, nearest labels.

    Args:
        low: smallest factor.
        high: largest factor.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the new size."""
        height, width = _size(flat_inputs)
        factor = torch.empty(1).uniform_(self.low, self.high).item()
        return {"size": [max(1, round(height * factor)), max(1, round(width * factor))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize one input."""
        return self._call_kernel(functional.resize, inpt, size=params["size"], antialias=True)


class RandomCrop(v2.Transform):  # type: ignore[misc]
    """Crop at random; redraw, up to ten times, while one class fills the crop (mmsegmentation's ``cat_max_ratio``).

    Smaller inputs are padded at the bottom and right: images with the mean colour, labels with ``ignore_index``.

    Args:
        size: (height, width) of the crop.
        max_class_share: a crop is accepted when it has at least two classes and none covers this share of the labelled
            pixels; 1 accepts every crop.
        ignore_index: label of the padding; does not count as a class.
    """

    TRIES = 10

    def __init__(self, size: tuple[int, int], max_class_share: float, ignore_index: int) -> None:
        super().__init__()
        self.size = size
        self.max_class_share = max_class_share
        self.ignore_index = ignore_index

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the corner of the crop."""
        height, width = _size(flat_inputs)
        labels = next((x for x in flat_inputs if isinstance(x, tv_tensors.Mask)), None)
        crop_height, crop_width = min(self.size[0], height), min(self.size[1], width)
        for _ in range(self.TRIES + 1):
            top = int(torch.randint(height - crop_height + 1, ()))
            left = int(torch.randint(width - crop_width + 1, ()))
            if labels is None or self._accepts(labels[..., top : top + crop_height, left : left + crop_width]):
                break
        return {"box": (top, left, crop_height, crop_width)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop and pad one input."""
        top, left, height, width = params["box"]
        cropped = self._call_kernel(functional.crop, inpt, top, left, height, width)
        padding = [0, 0, self.size[1] - width, self.size[0] - height]
        if not any(padding):
            return cropped
        fill: Any = self.ignore_index if isinstance(inpt, tv_tensors.Mask) else list(MEAN_COLOUR)
        return self._call_kernel(functional.pad, cropped, padding=padding, fill=fill)

    def _accepts(self, labels: Tensor) -> bool:
        if self.max_class_share >= 1:
            return True
        counts = torch.bincount(labels.as_subclass(Tensor).reshape(-1).int(), minlength=256)
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


def photometric_distortion() -> v2.Transform:
    """Distort uint8 images as mmsegmentation does.

    Brightness +-32 levels, contrast 0.5-1.5 (before or after the next two), saturation 0.5-1.5, hue +-18 degrees, each
    with probability one half.
    """

    def sometimes(transform: v2.Transform) -> v2.Transform:
        return v2.RandomApply([transform], p=0.5)

    contrast = sometimes(v2.ColorJitter(contrast=(0.5, 1.5)))
    colour = [sometimes(v2.ColorJitter(saturation=(0.5, 1.5))), sometimes(v2.ColorJitter(hue=(-0.05, 0.05)))]
    orders = [v2.Compose([contrast, *colour]), v2.Compose([*colour, contrast])]
    return v2.Compose([sometimes(RandomBrightness(32)), v2.RandomChoice(orders)])


def _size(flat_inputs: list[Any]) -> tuple[int, int]:
    height, width = functional.get_size(
        next(x for x in flat_inputs if isinstance(x, (tv_tensors.Image, tv_tensors.Mask)))
    )
    return height, width
