"""TensorRT: the ONNX file, built and run by ``trtexec`` where that is installed."""

import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS, Conversion, ConversionRefused, leaving_torch
from densekd.export.engines.inside import InsideEngine
from densekd.export.engines.onnx import OnnxRuntime
from densekd.export.graph import Graph
from densekd.export.spec import Precision

_COMMAND = "trtexec --onnx=model.onnx --saveEngine=model.engine --noTF32"


class TensorRt(InsideEngine):
    """TensorRT."""

    name: ClassVar[str] = "tensorrt"
    title: ClassVar[str] = "TensorRT"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    session: ClassVar[Path] = SESSIONS / "run_tensorrt.py"
    # What writes the ONNX file.
    modules: ClassVar[tuple[str, ...]] = OnnxRuntime.modules
    infer_lines: ClassVar[str] = f"""\
# Build the engine on the device that runs it:
#   {_COMMAND}
import tensorrt
import torch

runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
engine = runtime.deserialize_cuda_engine((HERE / "model.engine").read_bytes())
context = engine.create_execution_context()


def run(array):
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    arrays = {{names[0]: torch.from_numpy(array).cuda()}}
    for name in names[1:]:
        dtype = torch.from_numpy(np.empty(0, tensorrt.nptype(engine.get_tensor_dtype(name)))).dtype
        arrays[name] = torch.empty(tuple(engine.get_tensor_shape(name)), dtype=dtype, device="cuda")
    for name, values in arrays.items():
        context.set_tensor_address(name, values.data_ptr())
    context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
    torch.cuda.synchronize()
    return [arrays[name].cpu().numpy() for name in names[1:]]
"""

    def not_runnable(self) -> str | None:
        """Say where trtexec is missing, and its command."""
        if shutil.which("trtexec"):
            return None
        return f"trtexec is not installed here; on the device: {_COMMAND}"

    def version(self) -> str:
        """Return the first line that trtexec says of itself; empty where it is not installed."""
        if not shutil.which("trtexec"):
            return ""
        done = subprocess.run(["trtexec", "--help"], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip().split("\n")[0][:80]

    def convert(self, graph: Graph, folder: Path, precision: Precision) -> Conversion:
        """Write ``model.onnx``, which ``trtexec`` builds an engine from.

        Raises:
            ConversionRefused: a batch of any size, or a graph that torch cannot export.
        """
        if graph.input.batch == "dynamic":
            raise ConversionRefused("TensorRT is built for a fixed number of pictures: --batch 1.")
        with leaving_torch():
            exported = graph.onnx()
        (folder / "model.onnx").write_bytes(exported.path.read_bytes())
        return Conversion("model.onnx", exported.exporter)
