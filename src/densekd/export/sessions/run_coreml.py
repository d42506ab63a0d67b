"""Run ``model.mlpackage`` in Core ML, on macOS."""

import os
from collections.abc import Callable

import coremltools
import numpy as np


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load the artefact of a folder; return the function that runs it.

    Args:
        folder: with ``model.mlpackage``.
        threads: not known to the engine.
    """
    path = os.path.join(folder, "model.mlpackage")  # noqa: PTH118
    model = coremltools.models.MLModel(path, compute_units=coremltools.ComputeUnit.CPU_ONLY)
    described = model.get_spec().description
    taken = described.input[0].name
    names = [output.name for output in described.output]

    def run(array: np.ndarray) -> list[np.ndarray]:
        found = model.predict({taken: array})
        return [np.asarray(found[name]) for name in names]

    return run
