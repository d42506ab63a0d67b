"""Quantize an ONNX graph to QuantizeLinear and DequantizeLinear (QDQ) by ONNX Runtime, from ranges measured once."""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from densekd.export.int8.layers import Layers, find_layers

# Tells how many of how many are done.
Tell = Callable[[str, int, int], None]


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Batches for a calibrator, one after the other."""

    def __init__(self, name: str, batches: Sequence[np.ndarray], tell: Tell) -> None:
        self._name = name
        self._batches: Iterator[tuple[int, np.ndarray]] = iter(enumerate(batches, 1))
        self._count = len(batches)
        self._tell = tell

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch, None at the end."""
        number, batch = next(self._batches, (0, None))
        if batch is None:
            return None
        self._tell("calibrating", number, self._count)
        return {self._name: batch}


def folded(source: Path, target: Path) -> Path:
    """Write a graph with its constants computed, and return where.

    Args:
        source: as torch exported it.
        target: the new file.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    model = onnx.load(target)
    # The optimizer names all operator sets that it knows.
    used = {node.domain for node in model.graph.node} | {""}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    onnx.save(model, target)
    return target


class Quantizer:
    """A graph with measured ranges, which is quantized with more or fewer layers.

    Args:
        path: of the float graph, see :func:`folded`.
        batches: training pictures as the graph takes them.
        tell: called with the progress.
    """

    def __init__(self, path: Path, batches: Sequence[np.ndarray], tell: Tell) -> None:
        self.model = onnx.load(path)
        self.layers: Layers = find_layers(self.model.graph)
        self._path = path
        self._batches = batches
        self._tell = tell

    @cached_property
    def _ranges(self) -> Any:
        """Ranges of all activations: the smallest and the largest value over all pictures."""
        calibrator = create_calibrator(
            self._path,
            list(self.layers.operators),
            augmented_model_path=str(self._path.with_suffix(".ranges.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(_Pictures(self.model.graph.input[0].name, self._batches, self._tell))
        return calibrator.compute_data()

    def quantized(self, keep_float: Sequence[str], only: str | None = None) -> onnx.ModelProto:
        """Return the quantized graph.

        Args:
            keep_float: names of layers.
            only: a layer that alone is quantized.
        """
        wanted = [] if only is None else self.layers.nodes[only]
        left_out = list(self.layers.float_nodes)
        for name in keep_float:
            left_out += self.layers.nodes[name]
        quantizer = QDQQuantizer(
            copy.deepcopy(self.model),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=wanted,
            nodes_to_exclude=left_out,
            op_types_to_quantize=list(self.layers.operators),
            # What reads a bias as int32 is the convolution; products of activations stay float.
            extra_options={"WeightSymmetric": True, "MatMulConstBOnly": True},
        )
        quantizer.quantize_model()
        found: onnx.ModelProto = quantizer.model.model
        return found


def run_model(model: Any, batches: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Run a graph in ONNX Runtime; return the outputs of each batch.

    Args:
        model: ``onnx.ModelProto``, or the path of a file.
        batches: as it takes them.
    """
    source = model if isinstance(model, str) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: batch}) for batch in batches]
