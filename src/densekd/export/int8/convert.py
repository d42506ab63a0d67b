"""Conversion to int8 after the training, the same for all engines that quantize an ONNX file."""

from pathlib import Path

from densekd.errors import UserError
from densekd.export.engines.contract import Conversion, ConversionRefused
from densekd.export.exporters import Exported
from densekd.export.graph import Graph
from densekd.export.int8.job import Job, run_job
from densekd.export.int8.names import AUTO


def quantized(graph: Graph, exported: Exported, engine: str, quantizer: str, target: Path) -> Conversion:
    """Quantize a float graph into the file of an engine.

    Args:
        graph: with its calibration.
        exported: its ONNX file.
        engine: ``onnx`` or ``openvino``.
        quantizer: what people call that which does it.
        target: the file.

    Raises:
        ConversionRefused: it cannot be done.
    """
    calibration = graph.calibration
    assert calibration is not None
    names = [name for name in calibration.keep_float if name != AUTO]
    auto = AUTO in calibration.keep_float
    # What the outputs are made of is no matter of a search.
    if auto and "last" not in names:
        names.insert(0, "last")
    job = Job(
        engine=engine,
        graph=str(exported.path),
        pictures=str(calibration.pictures),
        kind=graph.input.kind,
        batch=graph.input.batch_size,
        output=graph.output_names[0],
        keep_float=names,
        auto=auto,
        allow=calibration.allow,
        share=calibration.share,
        scratch=str(graph.scratch),
        out=str(target.parent),
    )
    try:
        found = run_job(job)
    except UserError as error:
        raise ConversionRefused(str(error)) from error
    return Conversion(target.name, exported.exporter, quantizer, found.kept, found.note)
