"""Exporters of torch: ONNX by dynamo or by tracing, chosen per architecture, and ``torch.export`` programs."""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from densekd.errors import UserError, without_traceback
from densekd.export.spec import GraphInput

# Escape sequences that color a terminal.
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
# Operator set of the tracing exporter; dynamo chooses its own.
_TRACING_OPSET = 17
# Architectures that the dynamo exporter fails on, by a module's class, and why.
_TRACED = {
    "Swin": "ConversionError in windows of attention",
    "RTDetrV2ForObjectDetection": "no ONNX function for aten._is_all_true",
    "DFineForObjectDetection": "no ONNX function for aten._is_all_true",
    "TwoStageHead": "torchvision's non-maximum suppression and RoI align",
}


@dataclass(frozen=True)
class Exported:
    """A graph that left torch.

    Args:
        path: of the file.
        exporter: ``dynamo``, ``tracing`` or ``torch.export``.
        reason: why it was not the usual exporter, or empty.
    """

    path: Path
    exporter: str
    reason: str = ""


def export_onnx(module: nn.Module, example: Tensor, taken: GraphInput, names: list[str], folder: Path) -> Exported:
    """Write a module as an ONNX file: by dynamo, or by tracing where that fails or is known to.

    Args:
        module: returns a tuple of tensors.
        example: its input.
        taken: what the input is.
        names: of the outputs.
        folder: where the file goes.

    Raises:
        UserError: both exporters fail.
    """
    path = folder / "graph.onnx"
    reason = _why_traced(module)
    if not reason:
        try:
            _by_dynamo(module, example, taken, names, path)
            _forget_sources(path)
            return Exported(path, "dynamo")
        except Exception as error:  # exporters raise anything
            reason = _first_line(error)
    try:
        _by_tracing(module, example, taken, names, path)
        _forget_sources(path)
    except Exception as error:
        raise UserError(f"torch cannot export it to ONNX: {_first_line(error)} (dynamo: {reason})") from error
    return Exported(path, "tracing", reason)


def export_program(module: nn.Module, example: Tensor, taken: GraphInput, names: list[str], folder: Path) -> Exported:
    """Write a module as a file of ``torch.export.save``.

    Arguments as of :func:`export_onnx`.

    Raises:
        UserError: it cannot be exported.
    """
    path = folder / "graph.pt2"
    shapes = None
    if taken.batch == "dynamic":
        shapes = ({0: torch.export.Dim("batch", min=1)},)
    try:
        with _quiet():
            program = torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)
            for node in program.graph.nodes:
                # Paths of this machine.
                node.meta.pop("stack_trace", None)
            torch.export.save(program, path)
    except Exception as error:
        raise UserError(f"torch.export cannot export it: {_first_line(error)}") from error
    return Exported(path, "torch.export")


def export_torchscript(
    module: nn.Module, example: Tensor, taken: GraphInput, names: list[str], folder: Path
) -> Exported:
    """Write a module as a traced TorchScript file, its weights constants.

    Arguments as of :func:`export_onnx`.

    Raises:
        UserError: it cannot be traced.
    """
    path = folder / "graph.pt"
    try:
        with _quiet():
            traced = torch.jit.trace(module, (example,), check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(torch.jit.freeze(traced), path)
    except Exception as error:
        raise UserError(f"torch cannot trace it: {_first_line(error)}") from error
    return Exported(path, "TorchScript")


def _why_traced(module: nn.Module) -> str:
    """Say why a module is traced: a part of it that dynamo is known to fail on."""
    for part in module.modules():
        for kind in type(part).__mro__:
            if kind.__name__ in _TRACED:
                return f"{kind.__name__}: {_TRACED[kind.__name__]}"
    return ""


def _by_dynamo(module: nn.Module, example: Tensor, taken: GraphInput, names: list[str], path: Path) -> None:
    shapes = None
    if taken.batch == "dynamic":
        shapes = ({0: torch.export.Dim("batch", min=1)},)
    options: dict[str, Any] = {"input_names": [taken.name], "output_names": names, "dynamic_shapes": shapes}
    with _quiet():
        # Weights stay inside the file: an artefact is one file.
        torch.onnx.export(module, (example,), str(path), dynamo=True, external_data=False, verbose=False, **options)


def _by_tracing(module: nn.Module, example: Tensor, taken: GraphInput, names: list[str], path: Path) -> None:
    options: dict[str, Any] = {"input_names": [taken.name], "output_names": names, "verbose": False}
    if taken.batch == "dynamic":
        options["dynamic_axes"] = {name: {0: "batch"} for name in (taken.name, *names)}
    with _quiet():
        torch.onnx.export(module, (example,), str(path), dynamo=False, opset_version=_TRACING_OPSET, **options)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters, which write pages of remarks: what is wrong with a graph is measured afterwards."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _first_line(error: BaseException) -> str:
    """Return the name and the first line of the error that began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in _COLORS.sub("", without_traceback(str(error))).splitlines() if line.strip()]
    said = lines[0][:300] if lines else ""
    return f"{type(error).__name__}: {said}"


def _forget_sources(path: Path) -> None:
    """Remove what an ONNX file says of the source code that it comes from: paths of this machine, in every node."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        for node in graph.node:
            del node.metadata_props[:]
        for value in graph.value_info:
            del value.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    onnx.save(model, path)
