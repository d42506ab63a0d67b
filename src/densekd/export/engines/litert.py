"""LiteRT (TensorFlow Lite): converted by litert-torch from a program of torch.export."""

from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS
from densekd.export.engines.outside import ProgramEngine


class LiteRt(ProgramEngine):
    """LiteRT."""

    name: ClassVar[str] = "litert"
    title: ClassVar[str] = "LiteRT"
    package: ClassVar[str] = "ai-edge-litert"
    artefact: ClassVar[str] = "model.tflite"
    # It converts the identity matrix of a joined convolution, and then does not load it (STABLEHLO_IOTA).
    plain: ClassVar[bool] = True
    session: ClassVar[Path] = SESSIONS / "run_litert.py"
    infer_lines: ClassVar[str] = """\
from ai_edge_litert.interpreter import Interpreter

signature = Interpreter(str(HERE / "model.tflite")).get_signature_runner("serving_default")


def run(array):
    outputs = signature(**{list(signature.get_input_details())[0]: array})
    return [outputs[f"output_{index}"] for index in range(len(outputs))]
"""
