"""Class names and colors that travel with a model: from a checkpoint, a package or a library's config."""

from collections.abc import Mapping, Sequence
from typing import Any

from densekd.data.classes import Classes, distinct_colors

_UNNAMED = "class {}"


def unnamed_classes(count: int) -> Classes:
    """Return ``class 0``, ``class 1``, ... in distinct colors, for a model that does not name its classes."""
    return named_classes([_UNNAMED.format(number) for number in range(count)])


def named_classes(names: Sequence[str]) -> Classes:
    """Return classes of these names in distinct colors."""
    return Classes(tuple(names), tuple(distinct_colors(len(names))))


def are_unnamed(classes: Classes) -> bool:
    """Return True where the names are nothing but numbers; a comparison of names then says nothing."""
    return classes.names == unnamed_classes(len(classes.names)).names


def classes_in(meta: Mapping[str, Any], count: int) -> Classes:
    """Return the classes that OpenMMLab's ``meta`` names, or unnamed ones where it does not name ``count``.

    Args:
        meta: of a checkpoint: ``dataset_meta: {classes, palette}`` (mmengine) or ``CLASSES`` and ``PALETTE`` (mmcv).
        count: C of the model.
    """
    known = meta.get("dataset_meta")
    if not isinstance(known, Mapping):
        known = {"classes": meta.get("CLASSES"), "palette": meta.get("PALETTE")}
    names = known.get("classes")
    palette = known.get("palette")
    classes = unnamed_classes(count)
    if isinstance(names, list | tuple) and len(names) == count:
        classes = named_classes([str(name) for name in names])
    if isinstance(palette, list | tuple) and len(palette) == count:
        colors = tuple((int(r), int(g), int(b)) for r, g, b in palette)
        classes = Classes(classes.names, colors)
    return classes
