"""Models by name: from a name and options, as a recipe or a package has them, to a module."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from densekd.errors import RecipeError, suggest
from densekd.models import contract, find_model
from densekd.models.bands import read_bands, take_bands
from densekd.models.blocks import Normalize
from densekd.models.families import CONVENTIONS, Convention
from densekd.registry import construct

_DETECTORS = ("faster_rcnn", "gfl", "retinanet")
_RENAMED = "'learns: finetune' is called 'freeze: [stem, stage1]' now; the next version knows no other."


class Named(NamedTuple):
    """Model built by name, in training mode, with its options as they are called today, and notes."""

    model: nn.Module
    options: dict[str, Any]
    notes: tuple[str, ...]


def build_named(
    name: str,
    options: Mapping[str, Any],
    supplied: Mapping[str, Any],
    where: str,
) -> Named:
    """Build a model.

    Besides those of its builder every model that normalizes inside takes the option ``input``: the
    channel order, mean and standard deviation that its weights were trained with, where these are
    not those of its family. It is a name of :data:`densekd.models.families.CONVENTIONS`, or
    ``{order: bgr, mean: [...], std: [...]}`` in units of [0, 1]. The option ``bands``, which a recipe's
    ``data.bands`` gives, makes it read other bands than RGB, see :mod:`densekd.models.bands`.

    Args:
        name: see :func:`densekd.models.find_model`.
        options: what the user or a package says.
        supplied: what the caller knows: ``num_classes``, ``weights``.
        where: place in the recipe or file, for messages.

    Raises:
        RecipeError: an unknown name or option, a wrong value, or something that is no
            ``nn.Module``.
    """
    builder = find_model(name)
    current, notes = current_options(name, options)
    given = dict(current)
    convention = bands = None
    # A model of the user's may have an option of that name itself.
    if "input" in given and "input" not in inspect.signature(builder).parameters:
        convention = read_convention(given.pop("input"), where)
    if isinstance(given.get("bands"), Mapping) and "bands" not in inspect.signature(builder).parameters:
        bands = read_bands(given.pop("bands"), where)
    model = construct(builder, given, supplied, where)
    if not isinstance(model, nn.Module):
        raise RecipeError(f"{where}: {name} built a {type(model).__name__}, not an nn.Module.")
    # All weights are behind the normalization, so that another one may take its place.
    if convention is not None:
        if contract.convention(model) is None:
            raise RecipeError(f"{where}: 'input' is for models that normalize inside, which {name} does not.")
        model.normalize = Normalize(convention)
    if bands is not None:
        notes += take_bands(model, bands, where)
    return Named(model, current, notes)


def current_options(name: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Translate options of an earlier version; ``learns`` of detectors goes with the next one.

    Returns:
        the options, and a note for each that was translated.
    """
    current = dict(options)
    if name not in _DETECTORS or "learns" not in current:
        return current, ()
    learns = current.pop("learns")
    if learns == "all":
        return current, ("'learns: all' is the default and no option any more; leave it out.",)
    if learns != "finetune":
        # Nothing that was ever known: the builder lists its options.
        return dict(options), ()
    current.setdefault("freeze", ["stem", "stage1"])
    return current, (_RENAMED,)


def read_convention(value: Any, where: str) -> Convention:
    """Turn the option ``input`` into a convention.

    Raises:
        RecipeError: an unknown name, or anything but an order and three means and deviations
            in [0, 1].
    """
    if isinstance(value, Convention):
        return value
    if isinstance(value, str):
        if value not in CONVENTIONS:
            raise RecipeError(f"{where}: unknown input '{value}'. {suggest(value, CONVENTIONS)}")
        return CONVENTIONS[value]
    if isinstance(value, Mapping) and set(value) == {"order", "mean", "std"}:
        mean = _three(value["mean"])
        std = _three(value["std"])
        known_order = value["order"] in ("rgb", "bgr")
        if known_order and mean is not None and std is not None and 0 not in std:
            return Convention(value["order"], mean, std)
    raise RecipeError(
        f"{where}: input is one of {', '.join(CONVENTIONS)}, or an order (rgb or bgr) with mean "
        f"and std of its three channels in units of [0, 1] (divide by 255), got {value!r}."
    )


def _three(values: Any) -> tuple[float, float, float] | None:
    """Return three numbers in [0, 1], or None."""
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    # A mean above 1 was meant for pixels in [0, 255].
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in values):
        return None
    first, second, third = values
    return float(first), float(second), float(third)
