"""Everything of one training step: taps, adapters, terms, the frozen teacher, optimizers, the Distiller.

The package is also the function ``densekd.distill``: calling it is calling :func:`densekd.distill.fit.distill`.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """Package that is called as the function of its name; importing it imports nothing heavy."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Distill a teacher into a student; see :func:`densekd.distill.fit.distill`."""
        from densekd.distill.fit import distill

        return distill(*args, **options)


sys.modules[__name__].__class__ = _CallablePackage
