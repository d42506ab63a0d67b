"""LiteRT (TensorFlow Lite): converted by litert-torch from a program of torch.export."""

from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS, Conversion
from densekd.export.engines.outside import convert_program, version_in
from densekd.export.environments import ENVIRONMENTS
from densekd.export.graph import Graph
from densekd.export.spec import Precision


class LiteRt:
    """LiteRT."""

    name: ClassVar[str] = "litert"
    title: ClassVar[str] = "LiteRT"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    session: ClassVar[Path] = SESSIONS / "run_litert.py"
    infer_lines: ClassVar[str] = """\
from ai_edge_litert.interpreter import Interpreter

signature = Interpreter(str(HERE / "model.tflite")).get_signature_runner("serving_default")


def run(array):
    outputs = signature(**{list(signature.get_input_details())[0]: array})
    return [outputs[f"output_{index}"] for index in range(len(outputs))]
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
        """Return the version of the interpreter."""
        return version_in(ENVIRONMENTS[self.name], "ai-edge-litert")

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.tflite``.

        Raises:
            ConversionRefused: a batch of any size, or a graph that torch or the converter cannot do.
        """
        return convert_program(self, graph, folder, "model.tflite")
