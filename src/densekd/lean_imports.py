"""Libraries are imported without what only parts of them need that nobody has asked for: seconds before the first line.

Lightning needs two classes of torchmetrics, whose package imports scipy, matplotlib and transformers where they
are installed. torchvision and timm import the compiler of torch, most of a second, to mark three functions for
it. All keep everything that they have: it is imported when it is used.
"""

import importlib
import importlib.abc
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_METRICS = "torchmetrics"
# What Lightning takes from torchmetrics -> the module that defines it.
_CLASSES = {"Metric": "torchmetrics.metric", "MetricCollection": "torchmetrics.collections"}
_PLOT = "torchmetrics.utilities.plot"
# The names that the modules above take from it.
_PLOT_NAMES = ("_AX_TYPE", "_PLOT_OUT_TYPE", "plot_single_or_multi_val")
_COMPILER = "torch._dynamo"
_COMPILER_TOOLS = "torch._dynamo.utils"

# Fills a package's module by the package's own loader.
_Way = Callable[[SourceFileLoader, ModuleType], None]

# Guards what follows, and is never held while something is imported: Python's own locks, which know of each
# other, are all that threads wait for.
_LOCK = threading.Lock()
# Lightning, while it is executed.
_running: set[str] = set()
# torchmetrics with two classes, by its name, until it is executed as a whole.
_waiting: dict[str, ModuleType] = {}
# torch's own decorator, once for each of torchvision and timm that is executed and sees another.
_decorators: list[Any] = []


def import_lean() -> None:
    """Import Lightning, torchvision and timm lean from now on; do nothing to what is imported already."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the packages as Python does, and exchanges what executes them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Whoever needs the compiler itself while torchvision is imported gets it whole.
        if fullname == _COMPILER:
            _forget(_COMPILER_TOOLS)
        # Another thread needs a part while Lightning is imported: the whole comes first, as always. Python
        # executes the part once more, for it has asked for the part's place before.
        if fullname.startswith(f"{_METRICS}.") and _METRICS in _waiting and _METRICS in sys.modules:
            _complete()
        ways: dict[str, _Way] = {"lightning": _lightning, "timm": _uncompiled, "torchvision": _uncompiled}
        if _METRICS in _waiting:
            ways[_METRICS] = _whole
        elif "lightning" in _running:
            ways[_METRICS] = _two_classes
        if fullname not in ways:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        # A folder without __init__.py has no loader that executes anything.
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader, ways[fullname])
        return spec


class _StandIn(ModuleType):
    """Takes the place of a module for the moment in which another one takes names from it."""


def _forget(name: str) -> None:
    """Take a stand-in out of the table of imported modules, if it is still there."""
    if isinstance(sys.modules.get(name), _StandIn):
        del sys.modules[name]


class _Loader(importlib.abc.Loader):
    """Executes a package in a way of ours.

    Args:
        loader: the package's own.
        execute: fills the package's module by it.
    """

    def __init__(self, loader: SourceFileLoader, execute: _Way) -> None:
        self.loader = loader
        self.execute = execute

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Take the package that waits to be executed; make an empty module as Python does for all others."""
        with _LOCK:
            return _waiting.pop(spec.name, None)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the package; whoever asks it for source or data afterwards is answered by its own loader."""
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.loader
        self.execute(self.loader, module)


def _uncompiled(loader: SourceFileLoader, module: ModuleType) -> None:
    """Execute torchvision or timm; what they ask of the compiler of torch imports it when it is used."""
    if _COMPILER in sys.modules:
        loader.exec_module(module)
        return
    import torch

    # Called by torchvision on a GPU in deterministic trainings.
    tools = _StandIn(_COMPILER_TOOLS)
    tools.__dict__["is_compile_supported"] = _is_compile_supported
    # The decorator imports the compiler at once; torch has another for itself, which imports it at the
    # first call of what it decorates.
    with _LOCK:
        sys.modules.setdefault(_COMPILER_TOOLS, tools)
        _decorators.append(_decorators[0] if _decorators else torch.compiler.disable)
        torch.compiler.disable = _disable
    try:
        loader.exec_module(module)
        # The only other part that asks for the compiler.
        if module.__name__ == "torchvision":
            importlib.import_module("torchvision.tv_tensors")
    finally:
        # The last of them puts back what the first has replaced, in whichever threads they are.
        with _LOCK:
            disable = _decorators.pop()
            if not _decorators:
                torch.compiler.disable = disable
                _forget(_COMPILER_TOOLS)


def _is_compile_supported(device_type: str) -> Any:
    """Answer as ``torch._dynamo.utils.is_compile_supported``."""
    return importlib.import_module(_COMPILER_TOOLS).is_compile_supported(device_type)


def _disable(fn: Any = None, recursive: bool = True, **options: Any) -> Any:
    """Decorate as ``torch.compiler.disable``."""
    from torch._compile import _disable_dynamo

    return _disable_dynamo(fn, recursive)


def _lightning(loader: SourceFileLoader, module: ModuleType) -> None:
    """Execute Lightning with two classes of torchmetrics, which is the whole package for everybody else."""
    _running.add("lightning")
    try:
        loader.exec_module(module)
    finally:
        _running.discard("lightning")
        _take_out()


def _two_classes(loader: SourceFileLoader, package: ModuleType) -> None:
    """Fill torchmetrics with no other names than Lightning takes; execute a version that is built otherwise."""
    empty = dict(package.__dict__)
    package.__class__ = _Waiting
    package.__dict__["_logger"] = logging.getLogger(_METRICS)
    plot = _StandIn(_PLOT)
    plot.__dict__.update(dict.fromkeys(_PLOT_NAMES, object), plot_single_or_multi_val=_plot)
    sys.modules[_PLOT] = plot
    try:
        package.__dict__["__version__"] = importlib.import_module("torchmetrics.__about__").__version__
        # First, as in the package itself: it and the classes import each other.
        importlib.import_module("torchmetrics.utilities")
        for name, home in _CLASSES.items():
            package.__dict__[name] = getattr(importlib.import_module(home), name)
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.startswith(f"{_METRICS}.")]:
            del sys.modules[name]
        package.__class__ = ModuleType
        package.__dict__.clear()
        package.__dict__.update(empty)
        loader.exec_module(package)
        return
    _forget(_PLOT)
    with _LOCK:
        _waiting[_METRICS] = package


def _take_out() -> None:
    """Take torchmetrics out of the table of imported modules if it waits: who imports it next executes it."""
    with _LOCK:
        package = _waiting.get(_METRICS)
        if package is not None and sys.modules.get(_METRICS) is package:
            del sys.modules[_METRICS]


class _Waiting(ModuleType):
    """Package that is executed when it is asked for what it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        """Execute the package, and answer from it."""
        # What Python and its debuggers ask of any object is no use of the package.
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        _complete()
        # Not there while the package itself asks in the middle of its execution.
        return ModuleType.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        """Execute the package, and list all that it has."""
        _complete()
        return sorted(self.__dict__)


def _complete() -> None:
    """Execute torchmetrics as a whole, by Python's own import, or wait for the thread that does."""
    # With two classes another thread may still be at it.
    importlib.import_module(_METRICS)
    _take_out()
    importlib.import_module(_METRICS)


def _whole(loader: SourceFileLoader, package: ModuleType) -> None:
    """Execute torchmetrics, which has two classes so far."""
    try:
        loader.exec_module(package)
        # What the two classes took from the stand-in.
        plot = importlib.import_module(_PLOT)
        for home in _CLASSES.values():
            for name in _PLOT_NAMES:
                setattr(sys.modules[home], name, getattr(plot, name))
    except BaseException:
        # As after any import that failed, the next one tries again.
        with _LOCK:
            _waiting[_METRICS] = package
        raise
    package.__class__ = ModuleType


def _plot(*args: Any, **options: Any) -> Any:
    """Answer as ``torchmetrics.utilities.plot.plot_single_or_multi_val``."""
    return importlib.import_module(_PLOT).plot_single_or_multi_val(*args, **options)
