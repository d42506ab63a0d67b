"""Eager torch as an engine: what a model costs before it is exported."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS


class EagerTorch:
    """A model in torch, as ``densekd.load`` returns it."""

    name: ClassVar[str] = "eager"
    title: ClassVar[str] = "PyTorch"
    session: ClassVar[Path] = SESSIONS / "run_eager.py"
    python: ClassVar[Path] = Path(sys.executable)

    def missing(self) -> str | None:
        """Return None: torch is there."""
        return None

    def not_runnable(self) -> str | None:
        """Return None: torch is there."""
        return None


def write_order(folder: Path, source: str, trust: Sequence[str]) -> None:
    """Write what the process opens.

    Args:
        folder: of the order, which stands for the artefact's.
        source: a model.
        trust: modules that it may name.
    """
    content = {"source": source, "trust": list(trust)}
    (folder / "order.json").write_text(json.dumps(content), encoding="utf-8")
