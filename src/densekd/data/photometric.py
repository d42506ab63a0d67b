"""Photometric distortion: mmsegmentation's on OpenCV's colors, and the same from torchvision's parts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from densekd.data.hsv import through_hsv
from densekd.data.lookup import looked_up
from densekd.data.transforms import RandomBrightness

Photometric = Literal["none", "mmseg", "torchvision"]
Drawn = TypeVar("Drawn")

# Half degrees of the color circle, mmsegmentation's ``hue_delta``.
_HUE = 18
_BRIGHTNESS = 32.0
_FACTORS = (0.5, 1.5)


@dataclass(frozen=True)
class Distortion:
    """Random draws of mmsegmentation's distortion; None leaves a step out.

    Args:
        brightness: what is added, in levels of 255.
        contrast: factor on all channels, around zero.
        saturation: factor on the saturation.
        hue: half degrees that are added, a whole number.
        contrast_first: the contrast comes before saturation and hue, else after them.
    """

    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: int | None = None
    contrast_first: bool = False


def distort(image: Tensor, draws: Distortion) -> Tensor:
    """Distort the colors of an image as mmsegmentation's ``PhotoMetricDistortion`` does.

    Every step ends at whole levels, cut off below: the same bytes as the original on OpenCV.

    Args:
        image: uint8 RGB ``[3, H, W]``.
        draws: what was drawn.
    """
    levels = torch.arange(256, dtype=torch.uint8)
    # What becomes of a level is worked out for all 256 of them, and looked up.
    first = levels
    if draws.brightness is not None:
        first = _linear(first, 1.0, draws.brightness)
    if draws.contrast is not None and draws.contrast_first:
        first = _linear(first, draws.contrast)
    if first is not levels:
        image = _of_levels(image, first)
    # Saturation and hue are separate trips to HSV and back, each of which rounds.
    if draws.saturation is not None:
        image = through_hsv(image, saturations=_linear(levels, draws.saturation))
    if draws.hue is not None:
        image = through_hsv(image, hue=draws.hue)
    if draws.contrast is not None and not draws.contrast_first:
        image = _of_levels(image, _linear(levels, draws.contrast))
    return image


class PhotometricDistortion(v2.Transform):  # type: ignore[misc]
    """Random photometric distortion of uint8 images, exactly mmsegmentation's.

    Brightness +-32 levels; contrast 0.5 to 1.5 around zero, before or after the next two; saturation
    0.5 to 1.5; hue -18 to 17 of OpenCV's half degrees (-36 to 34 degrees). Each with probability one
    half.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the steps and their strengths."""
        # The upper end of the hue is left out, as numpy's randint does.
        brightness = _sometimes(lambda: _uniform(-_BRIGHTNESS, _BRIGHTNESS))
        contrast_first = bool(torch.randint(2, ()))
        contrast = _sometimes(lambda: _uniform(*_FACTORS))
        saturation = _sometimes(lambda: _uniform(*_FACTORS))
        hue = _sometimes(lambda: int(torch.randint(-_HUE, _HUE, ())))
        return {"draws": Distortion(brightness, contrast, saturation, hue, contrast_first)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Distort an image; leave everything else."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        return tv_tensors.wrap(distort(inpt.as_subclass(Tensor), params["draws"]), like=inpt)


def photometric_distortion() -> v2.Transform:
    """Photometric distortion of uint8 images from torchvision's parts.

    The steps of mmsegmentation in its ranges, but on torchvision's colors: brightness +-32 levels;
    contrast 0.5 to 1.5 around the mean gray, before or after the next two; saturation 0.5 to 1.5 by
    a blend with the gray image; hue +-18 degrees. Each with probability one half.
    """

    def sometimes(transform: v2.Transform) -> v2.Transform:
        return v2.RandomApply([transform], p=0.5)

    brightness = sometimes(RandomBrightness(_BRIGHTNESS))
    contrast = sometimes(v2.ColorJitter(contrast=_FACTORS))
    saturation = sometimes(v2.ColorJitter(saturation=_FACTORS))
    hue = sometimes(v2.ColorJitter(hue=(-0.05, 0.05)))
    contrast_first = v2.Compose([contrast, saturation, hue])
    contrast_last = v2.Compose([saturation, hue, contrast])
    return v2.Compose([brightness, v2.RandomChoice([contrast_first, contrast_last])])


class BandDistortion(v2.Transform):  # type: ignore[misc]
    """Random brightness and contrast of images of any bands, the same for all of them.

    What :class:`PhotometricDistortion` and :func:`photometric_distortion` do without colors:
    brightness +-32 levels of 255; contrast 0.5 to 1.5. Each with probability one half.

    Args:
        around: what the contrast keeps: ``zero``, or the ``mean`` of the image.
    """

    def __init__(self, around: Literal["zero", "mean"]) -> None:
        super().__init__()
        self.around = around

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the two steps and their strengths."""
        shift = _sometimes(lambda: _uniform(-_BRIGHTNESS, _BRIGHTNESS))
        factor = _sometimes(lambda: _uniform(*_FACTORS))
        return {"shift": shift or 0.0, "factor": 1.0 if factor is None else factor}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Distort an image, uint8 or float in units of [0, 1]; leave everything else."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        pixels = inpt.as_subclass(Tensor)
        white = 255.0 if pixels.dtype == torch.uint8 else 1.0
        bright = pixels.float() + params["shift"] * white / 255
        center = bright.mean() if self.around == "mean" else 0.0
        distorted = (bright - center) * params["factor"] + center
        if pixels.dtype == torch.uint8:
            distorted = distorted.round().clamp(0, white).to(torch.uint8)
        return tv_tensors.wrap(distorted, like=inpt)


def _of_levels(image: Tensor, levels: Tensor) -> Tensor:
    """Replace every level of an image by its entry in a table ``[256]``."""
    return torch.from_numpy(looked_up(image.numpy(), levels.numpy()))


def _linear(pixels: Tensor, factor: float, shift: float = 0.0) -> Tensor:
    """``factor * pixels + shift`` in float32, clipped and cut off to whole levels."""
    return pixels.float().mul_(factor).add_(shift).clamp_(0, 255).to(torch.uint8)


def _sometimes(draw: Callable[[], Drawn]) -> Drawn | None:
    """Draw with probability one half."""
    return draw() if torch.randint(2, ()) else None


def _uniform(low: float, high: float) -> float:
    return torch.empty(1).uniform_(low, high).item()
