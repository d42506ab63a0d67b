"""Quantize an ONNX graph for OpenVINO by NNCF."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densekd.export.int8.layers import Layers

# Operators of OpenVINO that have a weight.
_WEIGHTED = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul")


def quantize_by_nncf(path: Path, batches: Sequence[np.ndarray], layers: Layers, keep_float: Sequence[str]) -> Any:
    """Return a quantized model of OpenVINO.

    Args:
        path: of the float ONNX graph.
        batches: training pictures as the graph takes them.
        layers: of the graph.
        keep_float: names of layers that stay float.
    """
    import nncf
    import openvino
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    model = openvino.convert_model(path)
    left_out = set(layers.float_nodes)
    for name in keep_float:
        left_out |= set(layers.nodes[name])
    ignored = [operation.get_friendly_name() for operation in model.get_ops() if _is_of(operation, left_out)]
    return nncf.quantize(
        model,
        nncf.Dataset(batches),
        subset_size=len(batches),
        # Weights symmetric for each channel, activations with a zero point, as in the ONNX graph.
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER if layers.attends else None,
        # NNCF's own estimate averages the extremes of the pictures and clips; correcting the biases
        # afterwards adds errors of its own. Both together were three times as far from float.
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            disable_bias_correction=True,
        ),
        ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
    )


def _is_of(operation: Any, nodes: set[str]) -> bool:
    """Tell whether an operation was made of one of these nodes of the ONNX graph."""
    name = operation.get_friendly_name()
    # A convolution with a bias becomes two operations: NAME/WithoutBiases and the sum.
    return name in nodes or (name.rpartition("/")[0] in nodes and operation.get_type_name() in _WEIGHTED)


def run_openvino(model: Any, batches: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Run a model of OpenVINO; return the outputs of each batch."""
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = []
    for batch in batches:
        found = compiled([batch])
        outputs.append([np.array(found[output]) for output in compiled.outputs])
    return outputs
