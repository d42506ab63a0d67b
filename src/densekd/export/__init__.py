"""Export to inference engines: a model becomes an artefact that was loaded, compared and scored, or a refusal.

The package is also the function ``densekd.export``: calling it is calling :func:`densekd.export.export.export`.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """Package that is called as the function of its name; importing it imports nothing heavy."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Export a model to engines; see :func:`densekd.export.export.export`."""
        from densekd.export.export import export

        return export(*args, **options)


sys.modules[__name__].__class__ = _CallablePackage
