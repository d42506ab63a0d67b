"""Features of pixels: one forward pass of a model for each image, a few pixels of each group kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from densekd.distill.probe import at_rest
from densekd.distill.taps import Taps
from densekd.errors import UserError
from densekd.losses.inputs import labels_at
from densekd.models import contract
from densekd.tasks.common import device_of, to_float
from densekd.tasks.pixel_groups import NO_GROUP, PixelGroups

# Images whose channel maps are drawn.
MAPPED_IMAGES = 2
# Taps in the order in which the first that a model has is drawn; else its deepest feature map.
_USUAL_TAPS = ("pre_logits", "neck.0")


@dataclass(frozen=True)
class FeatureOptions:
    """What is drawn of a run.

    Args:
        images: how many, evenly chosen from the split.
        pixels: at most so many of each group.
        tap: path in all models; None: the features before the classifier, of a detector the finest
            level of its neck.
        teacher_tap: path in the teacher, where it differs.
        seed: of the choice of pixels, and of t-SNE.
    """

    images: int = 8
    pixels: int = 100
    tap: str | None = None
    teacher_tap: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Collected:
    """What was collected of one model.

    Args:
        tap: that was read.
        features: float32 ``[N, C]``, of pixels.
        groups: int64 ``[N]``: the group of each.
        maps: ``[C, h, w]`` of the first images at the tap.
        logits: ``[K, h, w]`` of the same images; empty where the model returns no map.
    """

    tap: str
    features: Tensor
    groups: Tensor
    maps: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]


def collect(model: nn.Module, pixels: PixelGroups, tap: str, options: FeatureOptions) -> Collected:
    """Run a model on every image and keep the features of a few pixels of each group.

    Labels are brought to the size of the feature map by nearest neighbor, as the losses do. Two
    models whose maps have one size are asked for the same pixels.

    Args:
        model: any; it is left as it was.
        pixels: the images and the groups of their pixels.
        tap: path in the model.
        options: for the number of pixels and the seed.

    Raises:
        UserError: a path that the model does not have, or that gives no map of this image.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    maps: list[Tensor] = []
    logits: list[Tensor] = []
    taps = Taps(model, [tap])
    for number, (image, groups) in enumerate(zip(pixels.images, pixels.groups, strict=True)):
        with at_rest(model):
            output, tapped = taps(to_float(image)[None].to(device_of(model)))
        features = _map_of(tap, tapped).float().cpu()
        at = labels_at(groups[None], features.shape[1:])[0].flatten()
        generator = torch.Generator().manual_seed(options.seed * 100_003 + number)
        chosen = choose_pixels(at, len(pixels.names), options.pixels, generator)
        kept.append((features.flatten(1).mT[chosen].clone(), at[chosen]))
        # Whole maps are kept of a few images alone.
        if number < MAPPED_IMAGES:
            maps.append(features)
            logits += _logits_of(output)
    values = torch.cat([values for values, _ in kept])
    groups = torch.cat([groups for _, groups in kept])
    # Each image offered as many as all of them may have.
    generator = torch.Generator().manual_seed(options.seed)
    chosen = choose_pixels(groups, len(pixels.names), options.pixels, generator)
    return Collected(tap, values[chosen], groups[chosen], tuple(maps), tuple(logits))


def choose_pixels(groups: Tensor, count: int, most: int, generator: torch.Generator) -> Tensor:
    """Choose at random at most ``most`` pixels of each group.

    Args:
        groups: int64 ``[N]``, ``NO_GROUP`` where a pixel belongs to none.
        count: of the groups.
        most: of each group.
        generator: of the choice.

    Returns:
        Indices, int64 ``[M]``, in ascending order.
    """
    # One permutation for all groups; the first pixels in it are taken.
    order = torch.randperm(len(groups), generator=generator)
    chosen: list[Tensor] = []
    for group in range(count):
        chosen.append(order[groups[order] == group][:most])
    return torch.cat(chosen).sort().values


def usual_tap(model: nn.Module, given: str | None) -> str:
    """Return the tap that is drawn of a model: a given one, else the features before its classifier.

    Raises:
        UserError: a model that names no feature map.
    """
    if given is not None:
        return given
    names = contract.taps(model)
    features = sorted(name for name in names if name.startswith("features."))
    for name in (*_USUAL_TAPS, *reversed(features)):
        if name in names:
            return name
    raise UserError(f"{type(model).__name__} names no feature map; say which module to draw: --tap MODULE.")


def require_groups(pixels: PixelGroups) -> None:
    """Refuse images without labels: nothing would tell the points apart.

    Raises:
        UserError: no pixel belongs to a group.
    """
    if not any(bool((groups != NO_GROUP).any()) for groups in pixels.groups):
        raise UserError(
            "feature pictures are colored by labels, and these images have none; name labelled ones with --data."
        )


def _map_of(tap: str, tapped: Mapping[str, Tensor]) -> Tensor:
    """Return the feature map of the one image ``[C, h, w]``."""
    features = tapped[tap]
    if features.ndim != 4 or len(features) != 1:
        raise UserError(f"--tap {tap}: gives {list(features.shape)}, and a map [B, C, h, w] is needed.")
    return features[0]


def _logits_of(output: Any) -> Sequence[Tensor]:
    """Return the one image's logits ``[K, h, w]`` where a model returns a map."""
    if isinstance(output, Tensor) and output.ndim == 4:
        return [output[0].float().cpu()]
    return []
