"""Safe reading of checkpoint files: tensors and plain data only; no code in a pickle is run."""

import argparse
import collections
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from densekd.errors import UserError

# Where projects put the weights, in order of preference: averages are taken only where there is
# nothing else.
_WRAPPERS = (
    "state_dict",
    "model",
    "module",
    "model_state",
    "model_state_dict",
    "net",
    "ema",
    "model_ema",
    "state_dict_ema",
)
# What wrappers of modules put before every key.
_PREFIXES = ("module.", "_orig_mod.", "model.")


class _Inert:
    """Instance of another project's class: takes its state and does nothing with it."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Stand in for ``defaultdict``, which torch does not fill."""
    return {}


# How numpy's arrays and scalars are pickled; the module was called otherwise before numpy 2.
_NUMPY: list[Any] = [np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]]
_DTYPES = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"]
# Plain data that published files carry beside their tensors; the names are those inside the files.
_ALLOWED: list[Any] = [
    *((make, f"numpy.core.multiarray.{make.__name__}") for make in _NUMPY),
    *((make, f"numpy._core.multiarray.{make.__name__}") for make in _NUMPY),
    np.ndarray,
    np.dtype,
    *_DTYPES,
    argparse.Namespace,
    list,
    dict,
    set,
    (_plain_dict, "collections.defaultdict"),
    collections.OrderedDict,
    (_Inert, "mmengine.logging.history_buffer.HistoryBuffer"),
    (_Inert, "mmengine.config.config.ConfigDict"),
    (_Inert, "mmcv.utils.config.ConfigDict"),
]


class Container(NamedTuple):
    """Content of a file: what was saved, and the header of a ``.safetensors`` file."""

    content: Any
    header: dict[str, str]


def read_container(path: Path) -> Container:
    """Read a ``.safetensors`` file or a pickle of torch.

    Raises:
        UserError: a damaged file, one that is no checkpoint, or a pickle that wants to run code.
    """
    try:
        if path.suffix == ".safetensors":
            # Header and tensors in one go.
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return Container(tensors, file.metadata() or {})
        with torch.serialization.safe_globals(_ALLOWED):
            # Tensors of a zip archive are read from the disk when they are used.
            mapped = zipfile.is_zipfile(path)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        return Container(content, {})
    except Exception as error:  # a damaged pickle fails in any way there is
        raise UserError(f"{path}: {_reason(path, error)}") from error


def weights_in(content: Any, path: Path) -> dict[str, Tensor]:
    """Unwrap a state dict: the innermost of the known wrappers, without prefixes of modules.

    Raises:
        UserError: there are no tensors in it.
    """
    # Descend into wrappers: {"state_dict": {"model": {...}}}.
    while isinstance(content, Mapping):
        wrappers = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        if not wrappers:
            break
        content = content[wrappers[0]]
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a state dict.")
    # Counters and settings beside the tensors are left behind.
    state = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not state:
        some = ", ".join(map(str, list(content)[:5]))
        raise UserError(f"{path}: holds no tensors (but {some or 'nothing'}).")
    return _unprefixed(state)


def _unprefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off what DDP, ``torch.compile`` and others put before every key, however they nest."""
    while True:
        common = [prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)]
        if not common:
            return state
        state = {key.removeprefix(common[0]): value for key, value in state.items()}


def _reason(path: Path, error: Exception) -> str:
    """Say in one line what is wrong with a file that could not be read, and what to do."""
    is_pickle = isinstance(error, pickle.UnpicklingError)
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if is_pickle and refused is not None:
        return (
            f"refused. Besides tensors and plain containers it holds {refused[1]}, and loading that "
            "could run code. Where you trust it, save its state dict alone: "
            "torch.save(checkpoint['state_dict'], file)."
        )
    # The first bytes tell what a failed download left behind.
    with path.open("rb") as handle:
        start = handle.read(512)
    if not start:
        return "is empty; download it again."
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file; run 'git lfs pull' where it comes from."
    if start.lstrip()[:1] == b"<":
        return "is a web page, not a checkpoint: the download asked for a login or failed. Download it again."
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return "is a text file, not a checkpoint."
    words = [type(error).__name__]
    # What torch says of a pickle is not repeated: it recommends to run the file's code.
    if not is_pickle:
        words += str(error).splitlines()[:1]
    return f"damaged, or no checkpoint of plain tensors ({': '.join(words)[:160]})."
