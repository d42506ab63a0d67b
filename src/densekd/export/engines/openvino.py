"""OpenVINO: its intermediate representation (IR), converted from the ONNX file."""

from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS, Conversion, ConversionRefused, leaving_torch
from densekd.export.engines.inside import InsideEngine
from densekd.export.graph import Graph
from densekd.export.int8.convert import quantized
from densekd.export.int8.telemetry import forbid_telemetry
from densekd.export.spec import Precision


class OpenVino(InsideEngine):
    """OpenVINO."""

    name: ClassVar[str] = "openvino"
    title: ClassVar[str] = "OpenVINO"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    session: ClassVar[Path] = SESSIONS / "run_openvino.py"
    modules: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
    package: ClassVar[str] = "openvino"
    infer_lines: ClassVar[str] = """\
import openvino

# float32 arithmetic; without the hint some processors choose bfloat16, which is faster and coarser.
model = openvino.compile_model(HERE / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def run(array):
    found = model([array])
    return [found[output] for output in model.outputs]
"""

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.xml`` and ``model.bin``; in fp16 the weights are half, the arithmetic is the device's.

        In int8 it has FakeQuantize operations, which OpenVINO computes with integers: trained, or by NNCF.

        Raises:
            ConversionRefused: torch cannot export the graph, or OpenVINO cannot read it.
        """
        forbid_telemetry()
        import openvino

        with leaving_torch():
            exported = graph.onnx()
        if precision == "int8" and not graph.trained:
            return quantized(graph, exported, self.name, "NNCF", folder / "model.xml")
        try:
            model = openvino.convert_model(exported.path)
        except Exception as error:  # the converter raises its own types
            reason = str(error).strip().splitlines()[0]
            raise ConversionRefused(f"OpenVINO cannot read the graph: {reason}") from error
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=precision == "fp16")
        return Conversion("model.xml", exported.exporter, "training" if precision == "int8" else "")
