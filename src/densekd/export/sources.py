"""Sources of an export: for each precision the graph that engines convert, and the numbers that it is held to."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from densekd.export.calibration import write_calibration
from densekd.export.graph import Graph
from densekd.export.int8.names import require_layers
from densekd.export.options import ExportOptions
from densekd.export.spec import Precision
from densekd.export.subject import Subject
from densekd.export.verify import Reference
from densekd.quantize import exportable, plan_of, remove

# Engine that computes the integers of a training bit by bit.
_EXACT = "onnx"
_FLOAT_NOTE = "the float weights without fake quantization: another network than the int8 student"


@dataclass(frozen=True)
class Source:
    """What engines convert for a precision.

    Args:
        graph: the module on its way out.
        reference: torch's numbers.
        exact: whether ONNX Runtime has to return the same numbers in int8.
        note: what should be known of it.
    """

    graph: Graph
    reference: Reference
    exact: bool = False
    note: str = ""

    def is_exact(self, engine: str) -> bool:
        """Tell whether an engine has to return torch's int8 numbers themselves."""
        return self.exact and engine == _EXACT

    @property
    def calibrated(self) -> int:
        """Pictures that ranges were measured on."""
        return 0 if self.graph.calibration is None else self.graph.calibration.count


def prepare_sources(
    subject: Subject, precisions: Sequence[Precision], options: ExportOptions, scratch: Path
) -> dict[Precision, Source]:
    """Return the source of each precision.

    Args:
        subject: what is exported.
        precisions: that are asked for.
        options: for the pictures of int8.
        scratch: a temporary folder.

    Raises:
        UserError: int8 without training pictures.
        RecipeError: a layer to keep in float that the model does not have.
    """
    if _steps(subject.module):
        return _of_quantized(subject, precisions, scratch)
    graph = Graph(subject.module, subject.input, subject.outputs, scratch)
    reference = Reference(subject)
    sources = {precision: Source(graph, reference) for precision in precisions}
    if "int8" in sources:
        require_layers(subject.module.model, options.keep_float or ())
        # The float graph leaves torch once.
        calibrated = replace(graph, calibration=write_calibration(subject, options, scratch))
        sources["int8"] = Source(calibrated, reference)
    return sources


def _of_quantized(subject: Subject, precisions: Sequence[Precision], scratch: Path) -> dict[Precision, Source]:
    """Return the sources of a student that was trained in int8: its own integers, or its float weights."""
    sources: dict[Precision, Source] = {}
    float_module = deepcopy(subject.module)
    remove(float_module)
    as_float = replace(subject, module=float_module)
    float_graph = Graph(as_float.module, subject.input, subject.outputs, scratch)
    float_reference = Reference(as_float)
    for precision in dict.fromkeys(precisions):
        if precision != "int8":
            sources[precision] = Source(float_graph, float_reference, note=_FLOAT_NOTE)
            continue
        folder = scratch / "trained"
        folder.mkdir()
        graph = Graph(exportable(subject.module), subject.input, subject.outputs, folder, trained=True)
        # With free steps a value between two integers may be rounded to either.
        # So may one behind a layer or group norm or softmax, which engines compute in float, in an order of their own.
        in_float = any(isinstance(part, nn.LayerNorm | nn.GroupNorm) for part in subject.module.modules())
        exact = _steps(subject.module) == "power-of-two" and not in_float
        sources[precision] = Source(graph, Reference(subject), exact)
    return sources


def _steps(module: nn.Module) -> str:
    """Return the steps of a module that was quantized in training; empty of a float one."""
    for part in module.modules():
        plan = plan_of(part)
        if plan is not None:
            return plan.steps
    return ""
