"""Files of other projects, fabricated from key lists: ``layouts/NAME.json`` is what their own code writes.

``DENSEKD_GOLDEN`` names another folder that holds ``layouts/``.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from golden_models import fill
from torch import Tensor

FOLDER = Path(os.environ.get("DENSEKD_GOLDEN", Path(__file__).parents[1] / "golden")) / "layouts"
# Before the published name where several projects publish files of one name.
PROJECTS = ("cirkd1_", "cirkd2_", "hwd_")
# What the files hold besides tensors, by the type that the lists name.
_PLAIN: dict[str, Any] = {
    "<int>": 1,
    "<float>": 0.5,
    "<str>": "text",
    "<bool>": True,
    "<NoneType>": None,
    "<list>": [],
    "<tuple>": (),
    "<dict>": {},
}


def layout_names() -> list[str]:
    """Return the names of all layouts, which are the files' with a project before some."""
    return sorted(path.name.removesuffix(".json") for path in FOLDER.glob("*.json"))


def read_layout(name: str) -> dict[str, Any]:
    """Return the nested keys of a file, with a shape or a type at every leaf."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def fabricate(layout: Mapping[str, Any], path: Path) -> Path:
    """Write a file with this layout; its values are a function of key and shape alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(filled(layout), path)
    return path


def published_name(name: str) -> str:
    """Return the name a layout's file is published under."""
    for project in PROJECTS:
        name = name.removeprefix(project)
    return name


def filled(layout: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a layout with values."""
    content: dict[str, Any] = {}
    for key, leaf in layout.items():
        if isinstance(leaf, Mapping):
            content[key] = filled(leaf)
        elif isinstance(leaf, list):
            content[key] = _tensor(key, leaf)
        else:
            content[key] = _PLAIN.get(leaf, leaf)
    return content


def tensors(layout: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """List the tensors of a layout, however deep."""
    for key, leaf in layout.items():
        if isinstance(leaf, Mapping):
            yield from tensors(leaf)
        elif isinstance(leaf, list):
            yield key, leaf


def _tensor(key: str, leaf: list[Any]) -> Tensor:
    """Fill one entry: ``[2, 3]`` is float32, ``[2, 3, "int64"]`` is not."""
    shape = [size for size in leaf if isinstance(size, int)]
    kinds = [kind for kind in leaf if isinstance(kind, str)]
    values = fill(key, shape)
    if kinds:
        values = values.to(getattr(torch, kinds[0].removeprefix("torch.")))
    return values
