"""Closed list of globals that a pickled checkpoint may name: plain data, and stand-ins that do nothing."""

import argparse
import collections
from typing import Any

from densekd.models.checkpoints.numpy_data import PickledArray, PickledDtype, empty_array, scalar


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


def _no_bytes(*_: Any) -> bytes:
    """Stand in for ``bytes``, which pickles call for no bytes alone."""
    return b""


def _path_text(*parts: Any) -> str:
    """Stand in for paths of any system: their text, which nobody opens."""
    return "/".join(map(str, parts))


# How NumPy's arrays and scalars are pickled; the module was called otherwise before NumPy 2.
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
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
    *((empty_array, f"{module}._reconstruct") for module in _ARRAY_MODULES),
    *((scalar, f"{module}.scalar") for module in _ARRAY_MODULES),
    (PickledArray, "numpy.ndarray"),
    (PickledDtype, "numpy.dtype"),
    argparse.Namespace,
    list,
    dict,
    set,
    (_no_bytes, "builtins.bytes"),
    (_plain_dict, "collections.defaultdict"),
    collections.OrderedDict,
    *((_Inert, name) for name in _STAND_INS),
]
for _module in _PATH_MODULES:
    ALLOWED += [(_path_text, f"{_module}.{_name}") for _name in _PATHS]
