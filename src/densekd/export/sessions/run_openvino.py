"""Run ``model.xml`` in OpenVINO on the CPU."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load the artefact of a folder; return the function that runs it.

    Args:
        folder: with ``model.xml`` and ``model.bin``.
        threads: 0: the engine's own choice.
    """
    # Arithmetic as the artefact has it: on some processors the engine would choose bfloat16.
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    path = os.path.join(folder, "model.xml")  # noqa: PTH118
    model = openvino.Core().compile_model(path, "CPU", config)

    def run(array: np.ndarray) -> list[np.ndarray]:
        found = model([array])
        return [np.array(found[output]) for output in model.outputs]

    return run
