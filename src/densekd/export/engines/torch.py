"""torch.export: a program that runs in torch alone, without densekd."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from densekd.errors import UserError
from densekd.export.engines.contract import SESSIONS, Conversion, ConversionRefused
from densekd.export.graph import Graph
from densekd.export.spec import Precision


class TorchExport:
    """A program of ``torch.export``."""

    name: ClassVar[str] = "torch"
    title: ClassVar[str] = "torch.export"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    session: ClassVar[Path] = SESSIONS / "run_torch.py"
    python: ClassVar[Path] = Path(sys.executable)
    infer_lines: ClassVar[str] = """\
import torch

program = torch.export.load(HERE / "model.pt2").module()


def run(array):
    with torch.no_grad():
        return [output.numpy() for output in program(torch.from_numpy(array))]
"""

    def missing(self) -> str | None:
        """Return None: torch is there."""
        return None

    def not_runnable(self) -> str | None:
        """Return None: torch is there."""
        return None

    def version(self) -> str:
        """Return the version of torch."""
        return version("torch")

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.pt2``.

        Raises:
            ConversionRefused: torch cannot export the graph.
        """
        try:
            exported = graph.program()
        except UserError as error:
            raise ConversionRefused(str(error)) from error
        (folder / "model.pt2").write_bytes(exported.path.read_bytes())
        return Conversion("model.pt2", exported.exporter)
