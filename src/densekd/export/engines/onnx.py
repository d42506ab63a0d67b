"""ONNX Runtime: the ONNX file itself."""

from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS, Conversion, leaving_torch
from densekd.export.engines.inside import InsideEngine
from densekd.export.graph import Graph
from densekd.export.int8.convert import quantized
from densekd.export.spec import Precision


class OnnxRuntime(InsideEngine):
    """ONNX Runtime."""

    name: ClassVar[str] = "onnx"
    title: ClassVar[str] = "ONNX Runtime"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    session: ClassVar[Path] = SESSIONS / "run_onnx.py"
    modules: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript", "onnxruntime")
    package: ClassVar[str] = "onnxruntime"
    infer_lines: ClassVar[str] = """\
import onnxruntime

session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])


def run(array):
    return session.run(None, {session.get_inputs()[0].name: array})
"""

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.onnx``; in fp16 weights and arithmetic are half, input and outputs float32.

        In int8 it has QuantizeLinear and DequantizeLinear, trained or by ONNX Runtime.

        Raises:
            ConversionRefused: torch cannot export the graph.
        """
        with leaving_torch():
            exported = graph.onnx()
        target = folder / "model.onnx"
        if precision == "int8" and not graph.trained:
            return quantized(graph, exported, self.name, "ONNX Runtime", target)
        if precision == "fp16":
            _write_half(exported.path, target)
        else:
            target.write_bytes(exported.path.read_bytes())
        return Conversion(target.name, exported.exporter, "training" if precision == "int8" else "")


def _write_half(source: Path, target: Path) -> None:
    """Write an ONNX file with weights and arithmetic in float16."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(source)
    half = convert_float_to_float16(model, keep_io_types=True)
    onnx.save(half, target)
