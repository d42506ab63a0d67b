"""Run ``model.tflite`` in LiteRT on the CPU."""

import os
from collections.abc import Callable

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load the artefact of a folder; return the function that runs it.

    Args:
        folder: with ``model.tflite``.
        threads: 0: the engine's own choice.
    """
    path = os.path.join(folder, "model.tflite")  # noqa: PTH118
    interpreter = Interpreter(path, num_threads=threads or None)
    run_signature = interpreter.get_signature_runner("serving_default")
    (taken,) = run_signature.get_input_details()

    def run(array: np.ndarray) -> list[np.ndarray]:
        outputs = run_signature(**{taken: array})
        # output_0, output_1, ...
        names = sorted(outputs, key=lambda name: int(name.rsplit("_", 1)[1]))
        return [np.array(outputs[name]) for name in names]

    return run
