"""Models for images of any number of bands: the first convolution is widened, its filters kept.

A network of three channels takes N bands by timm's rule: of one band the three filters are added up, so
that gray gives what gray as RGB gave; of N bands the filters are repeated, red, green, blue, red, ...,
times 3 / N, so that equal bands give what they gave before.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from densekd.data.picture import LUMA
from densekd.errors import RecipeError
from densekd.models import contract
from densekd.models.blocks import NormalizeBands
from densekd.models.families import IMAGENET, Convention

Chosen = tuple[int, ...] | Literal["gray"]

_COLORS = 3
# Side of the image that shows which convolutions read it.
_PROBE = 128
# Attribute of a widened convolution: the order of the colors that its filters had.
_FILTERS = "filters_of"


@dataclass(frozen=True)
class BandInput:
    """Bands that a model reads, and how they are normalized: the option ``bands`` of a model.

    Args:
        images: number of bands of the images.
        chosen: places among them, from 1, of those that the network reads; or ``gray``, the
            brightness of the first three.
        mean: of each chosen band, in units of [0, 1].
        std: the same.
    """

    images: int
    chosen: Chosen
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        # JSON and YAML know lists only.
        for name in ("chosen", "mean", "std"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)

    def to_option(self) -> dict[str, Any]:
        """Return what a recipe or package holds of it."""
        found = {}
        for name, value in asdict(self).items():
            found[name] = list(value) if isinstance(value, tuple) else value
        return found


def read_bands(value: Any, where: str) -> BandInput:
    """Turn the option ``bands`` of a model into what it means.

    Raises:
        RecipeError: anything but bands with a mean and a deviation each.
    """
    usual = "bands is {images: N, chosen: [1, ..., N], mean: [...], std: [...]}, with one mean and std for each band"
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where}: {usual}; got {value!r}. In a recipe, data.bands says it for all models.")
    try:
        bands = BandInput(**value)
        places = _places(bands.chosen)
        fits = len(places) == len(bands.mean) == len(bands.std) and min(bands.std) > 0
        if not fits or min(places) < 1 or max(places) > bands.images:
            raise ValueError(f"{len(places)} bands of {bands.images}")
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{where}: {usual}; got {value!r} ({error}).") from error
    return bands


def take_bands(model: nn.Module, bands: BandInput, where: str) -> tuple[str, ...]:
    """Make a model read bands in place of RGB; it is changed in place.

    Mean and deviation take the place of the family's; the deviation is scaled so that the bands spread as
    widely as the network's weights are used to (Caffe's take 0 to 255).

    Args:
        model: any that normalizes inside. One that does not takes the images as they are.
        bands: what it reads.
        where: place in the recipe or file, for messages.

    Returns:
        what became of the first convolution, for people.

    Raises:
        RecipeError: a model whose first layer is not known, or one that does not choose bands.
    """
    convention = contract.convention(model)
    if convention is None:
        return _as_they_are(bands, where)
    count = len(_places(bands.chosen)) if bands.chosen != "gray" else 1
    notes: tuple[str, ...] = ()
    if count != _COLORS:
        widened = widen(model, count, convention.order, where)
        notes = (_describe(where, widened, count),)
    ratio = sum(convention.std) / sum(IMAGENET.std)
    std = tuple(value * ratio for value in bands.std)
    # Three bands come in the order of the colors that the network takes.
    order = convention.order if count == _COLORS else "rgb"
    _normalize(model, Convention(order, _ordered(bands.mean, order), _ordered(std, order)), bands.images, bands.chosen)
    return notes


def choose_bands(model: nn.Module, images: int, chosen: Chosen, where: str) -> bool:
    """Let a model read some of the bands of the images as those that it was trained on.

    Args:
        model: trained on as many bands as are chosen; it keeps its own normalization.
        images: number of bands of the images.
        chosen: see :class:`BandInput`.
        where: place in the recipe, for messages.

    Returns:
        False where it was trained on another number of bands; nothing was changed.

    Raises:
        RecipeError: a model that does not normalize inside.
    """
    convention = contract.convention(model)
    if convention is None:
        raise RecipeError(f"{where}.bands: the model does not normalize inside, and takes images as they are.")
    count = 1 if chosen == "gray" else len(chosen)
    if count != len(convention.mean):
        return False
    _normalize(model, convention, images, chosen)
    return True


def widen(model: nn.Module, count: int, order: Literal["rgb", "bgr"], where: str) -> list[str]:
    """Widen the convolutions of a network that read the image from three channels to ``count``.

    Args:
        model: changed in place.
        count: bands.
        order: of the colors that its filters are for.
        where: for messages.

    Returns:
        the names of the convolutions.

    Raises:
        RecipeError: no convolution reads the image.
    """
    readers = _readers(model)
    if not readers:
        raise RecipeError(
            f"{where}: no convolution of {type(model).__name__} reads the image itself, so that it takes three "
            "channels alone; choose three bands beside the model: 'bands: [1, 2, 3]', or of gray 'bands: [1, 1, 1]'."
        )
    for convolution in readers.values():
        weight = convolution.weight
        widened = nn.Parameter(widened_filters(weight.detach(), count, order), requires_grad=weight.requires_grad)
        convolution.weight = widened
        convolution.in_channels = count
        setattr(convolution, _FILTERS, order)
    # Libraries compare the images with the number that their configuration has.
    for name, module in model.named_modules():
        reads = any(reader.startswith(f"{name}.") or not name for reader in readers)
        if reads and getattr(module, "num_channels", None) == _COLORS:
            module.num_channels = count
    return list(readers)


def widened_filters(filters: Tensor, count: int, order: Literal["rgb", "bgr"]) -> Tensor:
    """Return filters ``[O, count, h, w]`` made of those of three colors ``[O, 3, h, w]``, by timm's rule.

    Args:
        filters: of three colors.
        count: bands.
        order: of the colors.
    """
    # Bands begin with red, green and blue, if with any colors.
    if order == "bgr":
        filters = filters.flip(1)
    if count == 1:
        return filters.sum(1, keepdim=True)
    places = torch.arange(count) % _COLORS
    return filters[:, places] * (_COLORS / count)


def fitted_to_bands(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Widen the filters of a state dict of three colors where the model's were widened.

    Args:
        model: whatever is filled.
        state: under its names.
    """
    fitted = dict(state)
    for name, module in model.named_modules():
        order = getattr(module, _FILTERS, None)
        key = f"{name}.weight" if name else "weight"
        if order is None or key not in fitted:
            continue
        count = module.weight.shape[1]
        if fitted[key].ndim == 4 and fitted[key].shape[1] == _COLORS != count:
            fitted[key] = widened_filters(fitted[key], count, order)
    return fitted


def _places(chosen: Chosen) -> tuple[int, ...]:
    """Return the places, from 1; of gray, one."""
    return (_COLORS,) if chosen == "gray" else chosen


def _as_they_are(bands: BandInput, where: str) -> tuple[str, ...]:
    if bands.chosen != tuple(range(1, bands.images + 1)):
        raise RecipeError(f"{where}: the model does not normalize inside, and takes all {bands.images} bands.")
    return ()


def _normalize(model: nn.Module, convention: Convention, images: int, chosen: Chosen) -> None:
    """Replace a model's normalization by one that chooses bands."""
    if chosen == "gray":
        model.normalize = NormalizeBands(convention, images, LUMA)
        return
    places = [place - 1 for place in chosen]
    if convention.order == "bgr":
        places.reverse()
    model.normalize = NormalizeBands(convention, images, places=places)


def _ordered(values: tuple[float, ...], order: Literal["rgb", "bgr"]) -> tuple[float, ...]:
    return values[::-1] if order == "bgr" else values


def _readers(model: nn.Module) -> dict[str, nn.Conv2d]:
    """Find the convolutions that read the image, by running the model on a black one."""
    found: dict[str, nn.Conv2d] = {}
    shapes: list[torch.Size] = []
    handles = []

    def look(name: str, convolution: nn.Conv2d, image: Tensor) -> None:
        # The first that runs reads the image; its neighbors in parallel branches read the same.
        if not shapes or image.shape == shapes[0]:
            shapes.append(image.shape)
            found[name] = convolution

    for name, convolution in _of_three(model).items():

        def hook(module: Any, arguments: Any, name: str = name) -> None:
            look(name, module, arguments[0])

        handles.append(convolution.register_forward_pre_hook(hook))
    device = next(model.parameters()).device
    try:
        with torch.no_grad(), _resting(model):
            model(torch.zeros(1, _COLORS, _PROBE, _PROBE, device=device))
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError):
        # Models of one size refuse others, some before anything was read: the first in the order of definition.
        return found or dict(list(_of_three(model).items())[:1])
    finally:
        for handle in handles:
            handle.remove()
    return found


def _of_three(model: nn.Module) -> dict[str, nn.Conv2d]:
    """List the convolutions of three channels."""
    found: dict[str, nn.Conv2d] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == _COLORS and module.groups == 1:
            found[name] = module
    return found


@contextmanager
def _resting(model: nn.Module) -> Iterator[None]:
    """Bring a model to evaluation mode, and afterwards every module to the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _describe(where: str, names: list[str], count: int) -> str:
    """Say what became of the first convolution."""
    which = " and ".join(names)
    if count == 1:
        return f"{where}: the first convolution ({which}) takes one band: its filters of red, green and blue are added."
    return (
        f"{where}: the first convolution ({which}) takes {count} bands: its filters of red, green and blue are "
        f"repeated in this order, times 3/{count}."
    )
