"""Run ``model.onnx`` in ONNX Runtime."""

import os
from collections.abc import Callable

import numpy as np
import onnxruntime


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load the artefact of a folder; return the function that runs it.

    Args:
        folder: with ``model.onnx``.
        threads: of one operator; 0: the engine's own choice.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = os.path.join(folder, "model.onnx")  # noqa: PTH118
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(array: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(output) for output in session.run(None, {name: array})]

    return run
