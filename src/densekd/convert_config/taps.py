"""Taps: module names of OpenMMLab's models as the recipe's short names, levels in braces."""

import re
from collections.abc import Sequence
from typing import Any

from densekd.presets.parts import Content

_LOGITS = ("decode_head.conv_seg", "decode_head.linear_pred", "decode_head.cls_seg")
_BEFORE_LOGITS = (
    "decode_head.bottleneck",
    "decode_head.fpn_bottleneck",
    "decode_head.linear_fuse",
    "decode_head.fusion_conv",
)
# Convolutions that a dense head runs on every level of the pyramid, one after the other.
_SHARED = {
    "bbox_head.gfl_cls": "cls", "bbox_head.retina_cls": "cls", "rpn_head.rpn_cls": "cls",
    "bbox_head.gfl_reg": "reg", "bbox_head.retina_reg": "reg", "rpn_head.rpn_reg": "reg",
}  # fmt: skip
_PYRAMID = re.compile(r"neck\.fpn_convs\.(\d)(\.conv)?")
_STAGE = re.compile(r"backbone\.layer(\d)")
LEVELS = 5


def tap_of(module: str, record: int | None = None, item: int | None = None) -> str | None:
    """Return the short name of a module's output, or None where there is none.

    Args:
        module: name in an OpenMMLab model.
        record: which of its calls; None: the first.
        item: which part of a tuple.
    """
    if module in _LOGITS and not record:
        return "logits"
    if module == "auxiliary_head.conv_seg":
        return "aux"
    if module in _BEFORE_LOGITS:
        return "pre_logits"
    if module in _SHARED:
        return f"{_SHARED[module]}.{record or 0}"
    if module == "neck" and item is not None:
        return f"neck.{item}"
    if module == "backbone" and item is not None:
        return f"features.{item}"
    pyramid, stage = _PYRAMID.fullmatch(module), _STAGE.fullmatch(module)
    if pyramid:
        return f"neck.{pyramid[1]}"
    if stage and 1 <= int(stage[1]) <= LEVELS - 1:
        return f"features.{int(stage[1]) - 1}"
    return None


def every_level(module: str) -> str | None:
    """Return the tap of all calls of a convolution that a head shares between levels, or None."""
    if module not in _SHARED:
        return None
    return f"{_SHARED[module]}.{{{','.join(str(level) for level in range(LEVELS))}}}"


def join_levels(terms: Sequence[Content]) -> list[Content]:
    """Join terms that differ in the level alone: ``neck.0``, ``neck.1`` become ``neck.{0,1}``."""
    joined: list[Content] = []
    levels: list[list[tuple[str, str]]] = []
    for entry in terms:
        rest = {key: value for key, value in entry.items() if key not in ("student", "teacher")}
        student, teacher = _split(entry.get("student")), _split(entry.get("teacher"))
        place = _same(joined, rest, student, teacher)
        if place is None or student is None or teacher is None:
            joined.append({**rest, "_stems": _stems(student, teacher), "_entry": entry})
            levels.append([] if student is None or teacher is None else [(student[1], teacher[1])])
        else:
            levels[place].append((student[1], teacher[1]))
    return [_written(entry, pairs) for entry, pairs in zip(joined, levels, strict=True)]


def _split(tap: Any) -> tuple[str, str] | None:
    """Split ``neck.3`` into its stem and its level; a tap without level gives None."""
    match = re.fullmatch(r"(neck|cls|reg|features)\.(\d)", tap) if isinstance(tap, str) else None
    return (match[1], match[2]) if match else None


def _stems(student: tuple[str, str] | None, teacher: tuple[str, str] | None) -> tuple[str, str] | None:
    return (student[0], teacher[0]) if student and teacher else None


def _same(
    joined: list[Content],
    rest: Content,
    student: tuple[str, str] | None,
    teacher: tuple[str, str] | None,
) -> int | None:
    """Return the position of an entry that differs in the level alone."""
    stems = _stems(student, teacher)
    for place, entry in enumerate(joined):
        others = {key: value for key, value in entry.items() if not key.startswith("_")}
        if stems is not None and entry["_stems"] == stems and others == rest:
            return place
    return None


def _written(entry: Content, pairs: list[tuple[str, str]]) -> Content:
    content: Content = dict(entry["_entry"])
    if len(pairs) < 2:
        return content
    ordered = sorted(pairs)
    for position, key in enumerate(("student", "teacher")):
        levels = ",".join(pair[position] for pair in ordered)
        content[key] = f"{entry['_stems'][position]}.{{{levels}}}"
    return content
