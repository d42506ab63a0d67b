"""OpenVINO: its intermediate representation (IR), converted from the ONNX file."""

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from densekd.errors import UserError
from densekd.export.engines.contract import SESSIONS, Conversion, ConversionRefused
from densekd.export.graph import Graph
from densekd.export.int8.convert import quantized
from densekd.export.spec import Precision


class OpenVino:
    """OpenVINO."""

    name: ClassVar[str] = "openvino"
    title: ClassVar[str] = "OpenVINO"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    session: ClassVar[Path] = SESSIONS / "run_openvino.py"
    python: ClassVar[Path] = Path(sys.executable)
    infer_lines: ClassVar[str] = """\
import openvino

# float32 arithmetic; without the hint some processors choose bfloat16, which is faster and coarser.
model = openvino.compile_model(HERE / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def run(array):
    found = model([array])
    return [found[output] for output in model.outputs]
"""

    def missing(self) -> str | None:
        """Return the command that installs what is missing."""
        for module in ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf"):
            if find_spec(module) is None:
                return f"{module}, which is not installed: pip install 'densekd[export]'"
        return None

    def not_runnable(self) -> str | None:
        """Return None: it runs wherever it installs."""
        return None

    def version(self) -> str:
        """Return the version of OpenVINO."""
        return version("openvino")

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.xml`` and ``model.bin``; in fp16 the weights are half, the arithmetic is the device's.

        In int8 it has FakeQuantize operations, which OpenVINO computes with integers: trained, or by NNCF.

        Raises:
            ConversionRefused: torch cannot export the graph, or OpenVINO cannot read it.
        """
        import openvino

        try:
            exported = graph.onnx()
        except UserError as error:
            raise ConversionRefused(str(error)) from error
        if precision == "int8" and not graph.trained:
            return quantized(graph, exported, self.name, "NNCF", folder / "model.xml")
        try:
            model = openvino.convert_model(exported.path)
        except Exception as error:  # the converter raises its own types
            reason = str(error).strip().splitlines()[0]
            raise ConversionRefused(f"OpenVINO cannot read the graph: {reason}") from error
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=precision == "fp16")
        return Conversion("model.xml", exported.exporter, "training" if precision == "int8" else "")
