"""Class names and colors that travel with a model: of a checkpoint, a package, a library."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densekd.data.classes import Classes, distinct_colors
from densekd.models import contract

_UNNAMED = "class {}"


def unnamed_classes(count: int) -> Classes:
    """Return ``class 0``, ``class 1``, ... for a model that does not name its classes."""
    return named_classes([_UNNAMED.format(number) for number in range(count)])


def named_classes(names: Sequence[str]) -> Classes:
    """Return classes of these names in distinct colors."""
    return Classes(tuple(names), tuple(distinct_colors(len(names))))


def are_unnamed(classes: Classes) -> bool:
    """Return True where the names are nothing but numbers, so that comparing them says nothing."""
    return classes.names == unnamed_classes(len(classes.names)).names


def classes_in(meta: Mapping[str, Any], count: int) -> Classes:
    """Return the classes that OpenMMLab's ``meta`` names; unnamed ones where it does not name C.

    Args:
        meta: of a checkpoint: ``dataset_meta: {classes, palette}`` (mmengine) or ``CLASSES`` and
            ``PALETTE`` (mmcv).
        count: C of the model.
    """
    known = meta.get("dataset_meta")
    if not isinstance(known, Mapping):
        known = {"classes": meta.get("CLASSES"), "palette": meta.get("PALETTE")}
    names = known.get("classes")
    palette = known.get("palette")
    classes = unnamed_classes(count)
    # Names of another number of classes are those of the data that a backbone came from.
    if isinstance(names, list | tuple) and len(names) == count:
        classes = named_classes([str(name) for name in names])
    # Some files say "random" instead of colors.
    if isinstance(palette, list | tuple) and len(palette) == count:
        colors = tuple((int(r), int(g), int(b)) for r, g, b in palette)
        classes = Classes(classes.names, colors)
    return classes


def classes_of(model: nn.Module, count: int | None) -> Classes:
    """Return the classes of a live model: named or numbered, none for a model without head.

    Args:
        model: in evaluation mode.
        count: C, where the model itself does not say.
    """
    names = contract.class_names(model)
    if names:
        return named_classes(names)
    if isinstance(model, contract.DenseModel):
        return unnamed_classes(model.num_classes or 0)
    # A bare module of the user's: what the caller says, or what comes out of it.
    counted = contract.num_classes(model) or count
    if counted is None:
        counted = _channels_of(model)
    return unnamed_classes(counted)


def _channels_of(model: nn.Module) -> int:
    """Measure how many logits a model of the user's returns; 0 where it returns something else."""
    try:
        with torch.no_grad():
            output = model(torch.zeros(1, contract.bands(model), 64, 64))
    except (RuntimeError, ValueError):
        return 0
    if isinstance(output, Tensor) and output.ndim == 4:
        return output.shape[1]
    return 0
