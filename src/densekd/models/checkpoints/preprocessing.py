"""Input convention of OpenMMLab's checkpoints: read from the configuration that they carry.

The keys of a file do not show it: mmdetection's ``*_caffe_*`` models have the same keys and shapes
as the others, but take BGR pixels without their mean, and their bottlenecks have the stride in the
first convolution.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.layout import Recognized
from densekd.models.families import CAFFE_OPENMMLAB, Convention, find_family
from densekd.models.segformer import SEGFORMERS

Style = Literal["pytorch", "caffe", "mixed"]

_NAMED_CAFFE = re.compile(r"(?:^|[^a-z0-9])caffe(?:[^a-z0-9]|$)")

_ASSUMED = (
    "{}: nothing in the file says how its images were normalized; RGB with ImageNet's mean and "
    "deviation was assumed, as most models of mmdetection have it. For one of its *_caffe_* models "
    "say 'options: {{family: mmdet_caffe}}', for anything else 'input', see docs/models.md."
)


@dataclass(frozen=True)
class Preprocessing:
    """What is known of a model's input.

    Args:
        source: where it was read; empty where nothing says anything.
        convention: channel order, mean and standard deviation; None: unknown.
        style: of the ResNet's bottlenecks; ``mixed``: a distiller's configuration with networks of
            both; None: unknown.
    """

    source: str = ""
    convention: Convention | None = None
    style: Style | None = None


def input_options(
    found: Recognized, checkpoint: Checkpoint, given: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Choose the options that tell a recognized model how its images were normalized.

    Args:
        found: what the keys of the file show.
        checkpoint: the file.
        given: options of the user; where these say it, the file is not asked.

    Returns:
        options (``family``, ``input``) beyond those recognized, and a note where something unusual
        or nothing is found.
    """
    if not found.format.startswith("mm") or "family" in given:
        return {}, ()
    # Families of segmentation models have a convention of their own, which is right without a word.
    detects = found.format == "mmdetection"
    known = find_preprocessing(checkpoint.meta, Path(checkpoint.name).name)
    if known.convention is None:
        asks = detects and "input" not in given
        return {}, (_ASSUMED.format(checkpoint.name),) if asks else ()
    # Only what differs from what the model would be without it is said.
    options: dict[str, Any] = {}
    if detects and known.style == "caffe":
        options["family"] = "mmdet_caffe"
    if "input" not in given and not _close(known.convention, _usual_convention(found, options)):
        options["input"] = {
            "order": known.convention.order,
            "mean": list(known.convention.mean),
            "std": list(known.convention.std),
        }
    if not options and known.style != "mixed":
        return {}, ()
    return options, (f"{checkpoint.name}: {_describe(known, options)}",)


def find_preprocessing(meta: Mapping[str, Any], name: str) -> Preprocessing:
    """Find the input convention of a checkpoint: its configuration tells, or else its file name.

    Args:
        meta: of the checkpoint; mmcv has the configuration's text under ``config``, mmengine under
            ``cfg``.
        name: of the file.
    """
    # The configuration is exact; a name only says the kind.
    for key in ("config", "cfg"):
        text = meta.get(key)
        if isinstance(text, str):
            found = _read_configuration(text)
            if found.convention is not None:
                return found
    if _NAMED_CAFFE.search(name.lower()):
        return Preprocessing("the file's name", CAFFE_OPENMMLAB, "caffe")
    return Preprocessing()


def _describe(known: Preprocessing, options: Mapping[str, Any]) -> str:
    assert known.convention is not None
    mean = ", ".join(f"{255 * value:g}" for value in known.convention.mean)
    std = ", ".join(f"{255 * value:g}" for value in known.convention.std)
    order = known.convention.order.upper()
    text = f"as {known.source} says, it takes {order} pixels with mean {mean} and deviation {std}"
    if known.style == "mixed":
        text += (
            "; it has networks of both styles, and the stride in the 3x3 convolution of bottlenecks "
            "was assumed (otherwise: 'options: {family: mmdet_caffe}')"
        )
    elif "family" in options:
        text += ", and has the stride in the first convolution of its bottlenecks"
    return f"{text}."


def _usual_convention(found: Recognized, options: Mapping[str, Any]) -> Convention:
    """Return the input convention that a recognized model has without another word."""
    family = str(options.get("family", found.options.get("family", "mmdet")))
    if found.model == "segformer":
        return SEGFORMERS[family].convention
    return find_family(family).convention


def _close(one: Convention, other: Convention) -> bool:
    values = zip((*one.mean, *one.std), (*other.mean, *other.std), strict=True)
    return one.order == other.order and all(abs(a - b) < 1e-4 for a, b in values)


def _read_configuration(text: str) -> Preprocessing:
    """Look for the first normalization and for ``style``; the text is parsed, never run."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Preprocessing()
    convention: Convention | None = None
    styles: set[Style] = set()
    for node in ast.walk(tree):
        entries = _entries(node)
        if convention is None:
            convention = _convention(entries)
        if entries.get("style") in ("pytorch", "caffe"):
            styles.add(entries["style"])
    style: Style | None = None
    if styles:
        style = "mixed" if len(styles) > 1 else styles.pop()
    return Preprocessing("the configuration in the file", convention, style)


def _entries(node: ast.AST) -> dict[str, Any]:
    """Return the literal entries of ``dict(key=value)`` or ``{"key": value}``; else nothing."""
    pairs: list[tuple[Any, ast.expr]] = []
    if isinstance(node, ast.Call):
        pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                pairs.append((key.value, value))
    entries = {}
    # Values that are computed are none that could be read without running them.
    for name, expression in pairs:
        try:
            entries[name] = ast.literal_eval(expression)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return entries


def _convention(entries: Mapping[str, Any]) -> Convention | None:
    """Read a normalization: mean and deviation in 0..255, in the network's channel order."""
    mean = _three(entries.get("mean"))
    std = _three(entries.get("std"))
    if mean is None or std is None or 0 in std:
        return None
    # Images are read as BGR; without a word they stay so.
    to_rgb = entries.get("to_rgb", entries.get("bgr_to_rgb", False))
    return Convention("rgb" if to_rgb else "bgr", mean, std)


def _three(values: Any) -> tuple[float, float, float] | None:
    """Return three numbers in units of [0, 1], or None."""
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    if not all(isinstance(value, int | float) for value in values):
        return None
    first, second, third = values
    return first / 255, second / 255, third / 255
