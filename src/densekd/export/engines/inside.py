"""Engines in this environment: the modules that they need, and the extra that installs them."""

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar


class InsideEngine:
    """What engines share that run in this environment; see :class:`densekd.export.engines.contract.Engine`.

    Attributes:
        modules: that it needs.
        package: the distribution whose version is the engine's.
    """

    python: ClassVar[Path] = Path(sys.executable)
    modules: ClassVar[tuple[str, ...]]
    package: ClassVar[str]

    def missing(self) -> str | None:
        """Return the command that installs what is missing."""
        for module in self.modules:
            if find_spec(module) is None:
                return f"{module}, which is not installed: pip install 'densekd[export]'"
        return None

    def not_runnable(self) -> str | None:
        """Return None: it runs wherever it installs."""
        return None

    def version(self) -> str:
        """Return the version of the engine."""
        return version(self.package)
