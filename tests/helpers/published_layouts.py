"""Files of other projects, fabricated from key lists: ``layouts/NAME.json`` is what their own code writes.

``DENSEKD_GOLDEN`` names another folder that holds ``layouts/``; ours are in ``layouts.zip``.
"""

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

Spread = Literal["same", "fan_in"]
GOLDEN = Path(os.environ.get("DENSEKD_GOLDEN", Path(__file__).parents[1] / "golden"))
# Before the published name where several projects publish files of one name.
PROJECTS = ("cirkd1_", "cirkd2_", "hwd_")
# What the files hold besides tensors, by the type that the lists name.
_PLAIN: dict[str, Any] = {
    "<int>": 1, "<float>": 0.5, "<str>": "text", "<bool>": True, "<NoneType>": None, "<list>": [], "<tuple>": (),
    "<dict>": {},
}  # fmt: skip
# Every tensor is a part of these, repeated where it is larger, so that a file of 300 MB takes 4 MB.
_NUMBERS = torch.randn(2**20, generator=torch.Generator().manual_seed(1)) * 0.1
_POSITIVE = torch.rand(2**14, generator=torch.Generator().manual_seed(2)) + 0.5


def _folder() -> Any:
    folder = GOLDEN / "layouts"
    if folder.is_dir():
        return folder
    return zipfile.Path(GOLDEN / "layouts.zip") / "layouts"


def layout_names() -> list[str]:
    """Return the names of all layouts: the files', with a project before some."""
    return sorted(path.name.removesuffix(".json") for path in _folder().iterdir() if path.name.endswith(".json"))


def read_layout(name: str) -> dict[str, Any]:
    """Return the nested keys of a file, with a shape or a type at every leaf."""
    content: dict[str, Any] = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return content


def published_name(name: str) -> str:
    """Return the name that a layout's file is published under."""
    for project in PROJECTS:
        name = name.removeprefix(project)
    return name


def fabricate(layout: Mapping[str, Any], path: Path, spread: Spread = "same") -> Path:
    """Write a file with this layout; see :func:`filled`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(filled(layout, spread), path)
    return path


def filled(layout: Mapping[str, Any], spread: Spread = "same") -> dict[str, Any]:
    """Fill a layout with values: variances and norms' weights are positive.

    Args:
        layout: see :func:`read_layout`.
        spread: of weights, the ``same`` for all, or by ``fan_in``, so that deep networks stay finite.
    """
    content: dict[str, Any] = {}
    for key, leaf in layout.items():
        if isinstance(leaf, Mapping):
            content[key] = filled(leaf, spread)
        elif isinstance(leaf, list):
            content[key] = _tensor(key, leaf, spread)
        else:
            content[key] = _PLAIN[leaf]
    return content


def tensor_keys(layout: Mapping[str, Any]) -> Iterator[str]:
    """List the keys of the tensors of a layout, however deep."""
    for key, leaf in layout.items():
        if isinstance(leaf, Mapping):
            yield from tensor_keys(leaf)
        elif isinstance(leaf, list):
            yield key


def layout_of(state: Mapping[str, Tensor]) -> dict[str, list[Any]]:
    """Return the layout of a state dict, which may be on the meta device."""
    layout: dict[str, list[Any]] = {}
    for key, value in state.items():
        kind = [] if value.dtype == torch.float32 else [str(value.dtype).removeprefix("torch.")]
        layout[key] = [*value.shape, *kind]
    return layout


def _tensor(key: str, leaf: list[Any], spread: Spread) -> Tensor:
    """Fill one entry: ``[2, 3]`` is float32, ``[2, 3, "int64"]`` is not."""
    shape = [size for size in leaf if isinstance(size, int)]
    kinds = [kind for kind in leaf if isinstance(kind, str)]
    if kinds:
        return torch.zeros(shape, dtype=getattr(torch, kinds[0]))
    positive = len(shape) == 1 and key.endswith(("running_var", "weight"))
    numbers = _POSITIVE if positive else _NUMBERS
    if spread == "fan_in" and len(shape) > 1:
        numbers = numbers[: prod(shape)] * (5 / prod(shape[1:]) ** 0.5)
    if prod(shape) <= len(numbers):
        return numbers[: prod(shape)].view(shape)
    row = shape[1:]
    return numbers[: prod(row)].view(1, *row).expand(shape)
