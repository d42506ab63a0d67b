"""Graph to export: a module in evaluation mode, its signature, and the shared files that engines convert."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from densekd.export.exporters import Exported, export_onnx, export_program, export_torchscript
from densekd.export.spec import GraphInput, GraphOutput
from densekd.kernels.dispatch import using


@dataclass(frozen=True)
class Calibration:
    """What int8 is made with after the training.

    Args:
        pictures: file of training pictures, uint8 ``[N, H, W, C]``, of the input's size.
        count: N.
        keep_float: names of layers that stay float, ``last``, ``auto``.
        allow: percent that a search accepts, see ``densekd.export.int8.search``.
        share: the same as a share of what int8 costs before the search.
    """

    pictures: Path
    count: int
    keep_float: tuple[str, ...]
    allow: float
    share: float = 1.0


@dataclass(frozen=True)
class Graph:
    """What all engines convert.

    Args:
        module: in evaluation mode, float32, on the CPU; takes one tensor, see ``input``, and returns
            a tuple of tensors, see ``outputs``.
        input: the picture.
        outputs: the arrays, in order.
        scratch: a temporary folder for files that several engines convert.
        trained: whether its numbers are int8 already, as they were trained.
        calibration: for int8 after the training; None where nobody asked for it.
    """

    module: nn.Module
    input: GraphInput
    outputs: tuple[GraphOutput, ...]
    scratch: Path
    trained: bool = False
    calibration: Calibration | None = None
    _made: dict[str, Exported] = field(default_factory=dict)

    @property
    def example(self) -> Tensor:
        """Pictures of noise that the graph is exported with."""
        return self.input.random(self.input.batch_size, seed=0)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs."""
        return [output.name for output in self.outputs]

    @property
    def reason(self) -> str:
        """Why a graph left torch by another way than the usual one; empty where it did not."""
        return "; ".join(made.reason for made in self._made.values() if made.reason)

    def onnx(self) -> Exported:
        """Return the graph as an ONNX file in float32, exported once.

        Raises:
            UserError: no exporter can do it.
        """
        return self._once("onnx", export_onnx)

    def program(self) -> Exported:
        """Return the graph as a file of ``torch.export.save``, exported once.

        Raises:
            UserError: it cannot be exported.
        """
        return self._once("program", export_program)

    def plain_program(self) -> Exported:
        """Return :meth:`program` with every kernel as its formula in plain operations, exported once.

        For engines that lack what kernels are made of: LiteRT knows no identity matrix.

        Raises:
            UserError: it cannot be exported.
        """
        with using("reference"):
            return self._once("plain", export_program)

    def torchscript(self) -> Exported:
        """Return the graph as a traced and frozen TorchScript file, written once.

        Raises:
            UserError: it cannot be traced.
        """
        return self._once("torchscript", export_torchscript)

    def _once(self, kind: str, make: Any) -> Exported:
        if kind not in self._made:
            folder = self.scratch / kind
            folder.mkdir(exist_ok=True)
            self._made[kind] = make(self.module, self.example, self.input, self.output_names, folder)
        return self._made[kind]
