"""ExecuTorch: lowered to XNNPACK from a program of torch.export, in an environment with its own torch."""

from pathlib import Path
from typing import ClassVar

from densekd.export.engines.contract import SESSIONS
from densekd.export.engines.outside import ProgramEngine


class ExecuTorch(ProgramEngine):
    """ExecuTorch."""

    name: ClassVar[str] = "executorch"
    title: ClassVar[str] = "ExecuTorch"
    package: ClassVar[str] = "executorch"
    artefact: ClassVar[str] = "model.pte"
    session: ClassVar[Path] = SESSIONS / "run_executorch.py"
    infer_lines: ClassVar[str] = """\
import torch
from executorch.runtime import Runtime

method = Runtime.get().load_program(HERE / "model.pte").load_method("forward")


def run(array):
    return [output.numpy().copy() for output in method.execute([torch.from_numpy(array)])]
"""
