"""Core ML: converted by coremltools from a program of torch.export; it runs on macOS."""

import sys
from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS
from densekd.export.engines.outside import ProgramEngine


class CoreMl(ProgramEngine):
    """Core ML."""

    name: ClassVar[str] = "coreml"
    title: ClassVar[str] = "Core ML"
    package: ClassVar[str] = "coremltools"
    artefact: ClassVar[str] = "model.mlpackage"
    session: ClassVar[Path] = SESSIONS / "run_coreml.py"
    infer_lines: ClassVar[str] = """\
import coremltools

model = coremltools.models.MLModel(str(HERE / "model.mlpackage"))
described = model.get_spec().description


def run(array):
    found = model.predict({described.input[0].name: array})
    return [found[output.name] for output in described.output]
"""

    def not_runnable(self) -> str | None:
        """Say that it needs macOS."""
        return None if sys.platform == "darwin" else "Core ML runs on macOS alone."
