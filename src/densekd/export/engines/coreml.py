"""Core ML: converted by coremltools from a program of torch.export; it runs on macOS."""

import sys
from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS, Conversion
from densekd.export.engines.outside import convert_program, version_in
from densekd.export.environments import ENVIRONMENTS
from densekd.export.graph import Graph
from densekd.export.spec import Precision


class CoreMl:
    """Core ML."""

    name: ClassVar[str] = "coreml"
    title: ClassVar[str] = "Core ML"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    session: ClassVar[Path] = SESSIONS / "run_coreml.py"
    infer_lines: ClassVar[str] = """\
import coremltools

model = coremltools.models.MLModel(str(HERE / "model.mlpackage"))
described = model.get_spec().description


def run(array):
    found = model.predict({described.input[0].name: array})
    return [found[output.name] for output in described.output]
"""

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS[self.name].python

    def missing(self) -> str | None:
        """Return the command that makes its environment."""
        return ENVIRONMENTS[self.name].missing()

    def not_runnable(self) -> str | None:
        """Say that it needs macOS."""
        return None if sys.platform == "darwin" else "Core ML runs on macOS alone."

    def version(self) -> str:
        """Return the version of Core ML."""
        return version_in(ENVIRONMENTS[self.name], "coremltools")

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.mlpackage``.

        Raises:
            ConversionRefused: a batch of any size, or a graph that torch or the converter cannot do.
        """
        return convert_program(self, graph, folder, "model.mlpackage")
