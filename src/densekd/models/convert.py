"""Convert any model file to ours: plain weights under our names, or a student package."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from densekd.atomic import atomic
from densekd.data.classes import published_classes
from densekd.errors import UserError
from densekd.models.open import Opened
from densekd.models.package import save_package
from densekd.seal.tensors import save_tensors


def convert(
    opened: Opened,
    out: Path,
    classes: str | None,
    existing: Literal["refuse", "replace"],
) -> Opened:
    """Write a model under our names.

    Args:
        opened: see :func:`densekd.models.open.open_model`.
        out: ``.safetensors``, which :func:`densekd.models.open.open_model` reads again; ``.pth``
            for ``torch.load(weights_only=True)``, a bare state dict; or a folder, for a student
            package.
        classes: name of a benchmark whose classes these are, see
            :func:`densekd.data.classes.published_classes`.
        existing: what to do with an ``out`` that is there.

    Returns:
        what was written.

    Raises:
        UserError: something is there, or a benchmark of another number of classes.
    """
    if out.exists() and existing == "refuse":
        raise UserError(f"{out}: exists already; --force replaces it.")
    config = opened.config
    # Published files often number their classes alone.
    if classes is not None:
        known = published_classes(classes)
        if len(known.names) != len(config.classes):
            raise UserError(f"the model has {len(config.classes)} classes, {classes} {len(known.names)}.")
        palette = [list(color) for color in known.palette]
        config = replace(config, classes=list(known.names), palette=palette)
    model = opened.model
    if out.suffix == ".safetensors":
        # The header says what a package's config.json says.
        header = {key: json.dumps(value) for key, value in config.entries().items()}
        # The format knows no strides and no shared memory.
        state = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
        save_tensors(state, out, {"format": "pt"} | header)
    elif out.suffix in (".pth", ".pt"):
        with atomic(out) as temporary:
            torch.save(model.state_dict(), temporary)
    else:
        save_package(model, config, out)
    return replace(opened, config=config, classes=config.labels)
