"""torch.export: a program that runs in torch alone, without densekd."""

from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS, Conversion, leaving_torch
from densekd.export.engines.inside import InsideEngine
from densekd.export.graph import Graph
from densekd.export.spec import Precision


class TorchExport(InsideEngine):
    """A program of ``torch.export``."""

    name: ClassVar[str] = "torch"
    title: ClassVar[str] = "torch.export"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    session: ClassVar[Path] = SESSIONS / "run_torch.py"
    modules: ClassVar[tuple[str, ...]] = ()
    package: ClassVar[str] = "torch"
    infer_lines: ClassVar[str] = """\
import torch

program = torch.export.load(HERE / "model.pt2").module()


def run(array):
    with torch.no_grad():
        return [output.numpy() for output in program(torch.from_numpy(array))]
"""

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.pt2``.

        Raises:
            ConversionRefused: torch cannot export the graph.
        """
        with leaving_torch():
            exported = graph.program()
        (folder / "model.pt2").write_bytes(exported.path.read_bytes())
        return Conversion("model.pt2", exported.exporter)
