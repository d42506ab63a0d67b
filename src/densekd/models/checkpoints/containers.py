"""Safe reading of checkpoint files: tensors and plain data only; no code in a pickle is run."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

from densekd.errors import UserError
from densekd.models.checkpoints.allowed_globals import ALLOWED
from densekd.models.checkpoints.sizes import describe_swollen, require_bounded
from densekd.models.checkpoints.unreadable import GET_AGAIN, describe_archive, describe_unreadable, kind_of_file
from densekd.parsers import NotAFileError, load_json
from densekd.parsers.files import is_file, require_file
from densekd.seal import damage_of
from densekd.seal.tensors import damage_of_tensors

INDEX_SUFFIX = ".index.json"
# How zip archives begin, and checkpoints of torch with them.
_ARCHIVE = b"PK\x03\x04"


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
    try:
        require_file(path)
    except NotAFileError as error:
        raise UserError(f"{path}: {error}, and a checkpoint is one.") from error
    except OSError as error:
        raise UserError(f"{path}: {describe_unreadable(path, error)}") from error
    # torch would begin to open a compiled network, and warn.
    archive = zipfile.is_zipfile(path)
    other = describe_archive(path) if archive else None
    if other is not None:
        raise UserError(f"{path}: {other}")
    swollen = describe_swollen(path) if archive else None
    if swollen is not None:
        raise UserError(f"{path}: {swollen}")
    damage = _damage_of(path, archive)
    if damage is not None:
        raise UserError(f"{path}: damaged: {damage}. {GET_AGAIN}")
    try:
        if path.suffix == ".safetensors":
            # Header and tensors in one go.
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return Container(tensors, file.metadata() or {})
        with torch.serialization.safe_globals(ALLOWED):
            # Tensors of a zip archive are read from the disk when they are used.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
        # Before anything looks into them.
        _require_plain(content, path)
        require_bounded(content, path.stat().st_size)
        return Container(content, {})
    except UserError:
        raise
    except Exception as error:  # a damaged pickle fails in any way there is
        raise UserError(f"{path}: {describe_unreadable(path, error)}") from error


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


def _damage_of(path: Path, archive: bool) -> str | None:
    """Return what the checksums in a file say is wrong with it; a pickle outside of an archive has none."""
    if archive:
        return damage_of(path)
    with path.open("rb") as handle:
        start = handle.read(len(_ARCHIVE))
    # An archive that is none any more has lost its end.
    if start == _ARCHIVE:
        return "its end is missing"
    # What is another kind of file altogether is said where it cannot be read.
    if path.suffix == ".safetensors" and kind_of_file(path) is None:
        return damage_of_tensors(path)
    return None


def _read_shards(path: Path) -> Container:
    """Join the files of an index (``model.safetensors.index.json``), as transformers writes it."""
    try:
        places = load_json(path, small=True)["weight_map"]
        names = sorted({str(name) for name in places.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is no index of weights; it needs 'weight_map', {{name: file}}.") from error
    # An index names files beside itself, nothing elsewhere.
    if any(Path(name).name != name for name in names):
        raise UserError(f"{path}: names files outside of its folder; they are not read.")
    missing = [name for name in names if not is_file(path.parent / name)]
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
