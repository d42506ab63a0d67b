"""Safe reading of checkpoint files: tensors and plain data only; no code in a pickle is run."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

from densekd.errors import UserError
from densekd.models.checkpoints.allowed_globals import ALLOWED
from densekd.models.checkpoints.unreadable import describe_archive, describe_unreadable

INDEX_SUFFIX = ".index.json"


class Container(NamedTuple):
    """Content of a file: what was saved, and the header of a ``.safetensors`` file."""

    content: Any
    header: dict[str, str]


def read_container(path: Path) -> Container:
    """Read a ``.safetensors`` file, a pickle of torch, or all files that an index names.

    Raises:
        UserError: a damaged file, one that is no checkpoint, or a pickle that wants to run code.
    """
    if path.name.endswith(INDEX_SUFFIX):
        return _read_shards(path)
    # torch would begin to open a compiled network, and warn.
    archive = zipfile.is_zipfile(path)
    other = describe_archive(path) if archive else None
    if other is not None:
        raise UserError(f"{path}: {other}")
    try:
        if path.suffix == ".safetensors":
            # Header and tensors in one go.
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return Container(tensors, file.metadata() or {})
        with torch.serialization.safe_globals(ALLOWED):
            # Tensors of a zip archive are read from the disk when they are used.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # a damaged pickle fails in any way there is
        raise UserError(f"{path}: {describe_unreadable(path, error)}") from error
    _require_plain(content, path)
    return Container(content, {})


def _require_plain(content: Any, path: Path) -> None:
    """Refuse tensors that are not plain memory: torch does not check where a sparse one's indices lead.

    Raises:
        UserError: a sparse or nested tensor, or one without memory.
    """
    for tensor in _tensors(content):
        kinds = {"nested": tensor.is_nested, "sparse": tensor.layout is not torch.strided, "empty": tensor.is_meta}
        wrong = [kind for kind, holds in kinds.items() if holds]
        if wrong:
            raise UserError(f"{path}: holds a {wrong[0]} tensor, and only plain ones are read; save it as a dense one.")


def _tensors(content: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor in mappings, lists and tuples; what contains itself is entered once."""
    waiting = [content]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield value
            continue
        if not isinstance(value, Mapping | list | tuple) or id(value) in seen:
            continue
        seen.add(id(value))
        waiting += value.values() if isinstance(value, Mapping) else value


def _read_shards(path: Path) -> Container:
    """Join the files of an index (``model.safetensors.index.json``), as transformers writes it."""
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in places.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is no index of weights; it needs 'weight_map', {{name: file}}.") from error
    # An index names files beside itself, nothing elsewhere.
    if any(Path(name).name != name for name in names):
        raise UserError(f"{path}: names files outside of its folder; they are not read.")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        shown = ", ".join(missing[:4])
        raise UserError(f"{path}: {len(missing)} of its {len(names)} files are not beside it: {shown}. Fetch them.")
    state: dict[str, Any] = {}
    for name in names:
        state |= read_container(path.parent / name).content
    absent = [key for key in places if key not in state]
    if absent:
        raise UserError(f"{path}: {len(absent)} of its weights are in none of its files, the first is {absent[0]}.")
    return Container(state, {})
