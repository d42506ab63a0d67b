"""Closed list of globals that a pickled checkpoint may name: plain data, and stand-ins that do nothing."""

import argparse
import collections
from typing import Any

import numpy as np


class _Inert:
    """Instance of another project's class: takes its state and does nothing with it."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Stand in for ``defaultdict``, which torch does not fill."""
    return {}


def _path_text(*parts: Any) -> str:
    """Stand in for paths of any system: their text, which nobody opens."""
    return "/".join(map(str, parts))


# How numpy's arrays and scalars are pickled; the module was called otherwise before numpy 2.
_NUMPY: list[Any] = [np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]]
_DTYPES = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"]
_PATHS = ("PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath", "Path")
# Python 3.13 keeps its paths in another module.
_PATH_MODULES = ("pathlib", "pathlib._local")
# What settings and logs of training libraries are made of; none of it is read.
_STAND_INS = (
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "omegaconf.nodes.BooleanNode",
    "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.IntegerNode",
    "omegaconf.nodes.PathNode",
    "omegaconf.nodes.StringNode",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "torch.torch_version.TorchVersion",
    "types.SimpleNamespace",
    "typing.Any",
)

# Plain data that published files carry beside their tensors; the names are those inside the files.
ALLOWED: list[Any] = [
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
    *((_Inert, name) for name in _STAND_INS),
]
for _module in _PATH_MODULES:
    ALLOWED += [(_path_text, f"{_module}.{_name}") for _name in _PATHS]
