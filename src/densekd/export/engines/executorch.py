"""ExecuTorch: lowered to XNNPACK from a program of torch.export, in an environment with its own torch."""

from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS, Conversion
from densekd.export.engines.outside import convert_program, version_in
from densekd.export.environments import ENVIRONMENTS
from densekd.export.graph import Graph
from densekd.export.spec import Precision


class ExecuTorch:
    """ExecuTorch."""

    name: ClassVar[str] = "executorch"
    title: ClassVar[str] = "ExecuTorch"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    session: ClassVar[Path] = SESSIONS / "run_executorch.py"
    infer_lines: ClassVar[str] = """\
import torch
from executorch.runtime import Runtime

method = Runtime.get().load_program(HERE / "model.pte").load_method("forward")


def run(array):
    return [output.numpy().copy() for output in method.execute([torch.from_numpy(array)])]
"""

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS[self.name].python

    def missing(self) -> str | None:
        """Return the command that makes its environment."""
        return ENVIRONMENTS[self.name].missing()

    def not_runnable(self) -> str | None:
        """Return None: it runs wherever it installs."""
        return None

    def version(self) -> str:
        """Return the version of ExecuTorch."""
        return version_in(ENVIRONMENTS[self.name], "executorch")

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.pte``.

        Raises:
            ConversionRefused: a batch of any size, or a graph that torch or the converter cannot do.
        """
        return convert_program(self, graph, folder, "model.pte")
