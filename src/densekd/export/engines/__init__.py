"""Inference engines that a model can be exported to: a table, one file a row."""

from densekd.errors import RecipeError, suggest
from densekd.export.engines.contract import Engine
from densekd.export.engines.coreml import CoreMl
from densekd.export.engines.executorch import ExecuTorch
from densekd.export.engines.litert import LiteRt
from densekd.export.engines.ncnn import Ncnn
from densekd.export.engines.onnx import OnnxRuntime
from densekd.export.engines.openvino import OpenVino
from densekd.export.engines.tensorrt import TensorRt
from densekd.export.engines.torch import TorchExport

_ALL: tuple[Engine, ...] = (
    OnnxRuntime(),
    OpenVino(),
    TorchExport(),
    Ncnn(),
    LiteRt(),
    CoreMl(),
    ExecuTorch(),
    TensorRt(),
)
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ALL}


def find_engine(name: str) -> Engine:
    """Return an engine by its name.

    Raises:
        RecipeError: no such engine; near names are listed.
    """
    if name not in ENGINES:
        raise RecipeError(f"--to: unknown engine '{name}'. {suggest(name, ENGINES)}")
    return ENGINES[name]
