"""densekd distils big dense-prediction models into small ones that can be deployed.

The Python API:

- :func:`distill`: train a student to match a teacher, any two modules and any loader; no recipe.
- :func:`train`: run a recipe: train, evaluate, export, report.
- :func:`load`, :func:`predict`, :func:`evaluate`: use a finished model.
- :func:`export`: write it for inference engines, verified there.
- :func:`benchmark`: measure latency, memory and size of models and exported artefacts.
- :class:`Distiller`, :class:`Term`: the LightningModule of a distillation, and one summand of its
objective.
- :mod:`losses`, :mod:`models`, :mod:`data`, :mod:`tasks`: what these are made of.

Every name is imported when it is first used: importing this module imports nothing heavy.
"""

from densekd import search_path

# Before anything else is imported: in the current folder may lie files with the names of libraries.
search_path.leave_current_folder()

from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from densekd import lean_imports, own_modules  # noqa: E402

if TYPE_CHECKING:
    from densekd import data, losses, models, tasks
    from densekd.api.evaluate import evaluate
    from densekd.api.load import load
    from densekd.api.predict import predict
    from densekd.api.train import train
    from densekd.distill.distiller import Distiller
    from densekd.distill.fit import distill
    from densekd.distill.terms import Term
    from densekd.export.export import export
    from densekd.export.latency.benchmark import benchmark

__version__ = "0.1.0"
__all__ = [
    "Distiller",
    "Term",
    "__version__",
    "benchmark",
    "data",
    "distill",
    "evaluate",
    "export",
    "load",
    "losses",
    "models",
    "predict",
    "tasks",
    "train",
]

# Name -> the module that defines it.
_HOMES = {
    "Distiller": "densekd.distill.distiller",
    "Term": "densekd.distill.terms",
    "benchmark": "densekd.export.latency.benchmark",
    "evaluate": "densekd.api.evaluate",
    "load": "densekd.api.load",
    "predict": "densekd.api.predict",
    "train": "densekd.api.train",
}
# The packages distill and export are also the functions: see densekd/distill/__init__.py.
_PACKAGES = ("data", "distill", "export", "losses", "models", "tasks")

# Before torchvision and Lightning are imported by whatever comes first.
lean_imports.import_lean()

# A spawned worker process unpickles classes of the user's modules, and imports this package first.
own_modules.restore()


def __getattr__(name: str) -> Any:
    """Import a name of the public API when it is first used (PEP 562)."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _PACKAGES:
        return import_module(f"densekd.{name}")
    raise AttributeError(f"module 'densekd' has no attribute '{name}'; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    """List the public API."""
    return sorted(__all__)
