"""Model files, ours and other projects': opened alike, written again under our names."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from densekd.atomic import atomic
from densekd.data.classes import Classes, distinct_colors, published_classes
from densekd.errors import UserError
from densekd.models.checkpoints import load_matched
from densekd.models.checkpoints.containers import read_content
from densekd.models.checkpoints.load import split_part
from densekd.models.package import Package, PackageConfig, build_packaged, load_package, save_package
from densekd.models.published import load_published

UNNAMED = "class {}"


def open_model(path: Path) -> Package:
    """Open a run folder, a student package, a training checkpoint of ours, or a published file of another project.

    Classes that a published file does not name are called ``class 0``, ``class 1``, ...

    Raises:
        UserError: none of these, or damaged.
    """
    file, _ = split_part(path)
    if file.is_dir() or not file.exists():
        return load_package(path)
    content = read_content(file)
    ours = content.get("densekd") if isinstance(content, dict) else None
    if isinstance(ours, dict):
        config = PackageConfig(**ours["package"])
        model = build_packaged(config, path)
        load_matched(model, path, "student")
        return Package(model.eval(), config)
    published = load_published(path)
    names, palette = classes_in(content, published.found.options["num_classes"])
    options = {key: value for key, value in published.found.options.items() if key != "num_classes"}
    return Package(published.model, PackageConfig(published.found.model, options, names, palette))


def convert(path: Path, out: Path, classes: str | None, existing: Literal["refuse", "replace"]) -> Package:
    """Write a model under our names: plain weights in a file, or a folder that is a student package.

    Args:
        path: see :func:`open_model`.
        out: ``.safetensors``, ``.pth`` (for ``torch.load(weights_only=True)``), or a folder.
        classes: name of a benchmark whose classes these are, see :func:`densekd.data.classes.published_classes`.
        existing: what to do with an ``out`` that is there.

    Raises:
        UserError: unreadable, something is there, or a benchmark of another number of classes.
    """
    if out.exists() and existing == "refuse":
        raise UserError(f"{out}: exists already; --force replaces it.")
    model, config = open_model(path)
    if classes is not None:
        known = published_classes(classes)
        if len(known.names) != len(config.classes):
            raise UserError(f"{path} has {len(config.classes)} classes, {classes} {len(known.names)}.")
        config = replace(config, classes=list(known.names), palette=[list(color) for color in known.palette])
    if out.suffix == ".safetensors":
        described = {key: json.dumps(value) for key, value in asdict(config).items()}
        state = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
        with atomic(out) as temporary:
            save_file(state, temporary, {"format": "pt"} | described)
    elif out.suffix in (".pth", ".pt"):
        with atomic(out) as temporary:
            torch.save(model.state_dict(), temporary)
    else:
        save_package(model, config, out)
    return Package(model, config)


def classes_in(content: Any, count: int) -> tuple[list[str], list[list[int]]]:
    """Return names and colors that a container carries (mmcv's and mmengine's do), or numbers and made-up colors."""
    meta = content.get("meta") if isinstance(content, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    known = meta.get("dataset_meta") or {"classes": meta.get("CLASSES"), "palette": meta.get("PALETTE")}
    names, palette = known.get("classes"), known.get("palette")
    if not names or len(names) != count:
        names = [UNNAMED.format(k) for k in range(count)]
    if not palette or len(palette) != count:
        palette = distinct_colors(count)
    return [str(name) for name in names], [[int(c) for c in color] for color in palette]


def classes_of(config: PackageConfig) -> Classes:
    """Return the classes that a package was trained on."""
    palette = tuple((r, g, b) for r, g, b in config.palette)
    return Classes(tuple(config.classes), palette, config.ignore_index)
