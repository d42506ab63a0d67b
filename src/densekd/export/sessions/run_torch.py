"""Run ``model.pt2`` in torch."""

import os
from collections.abc import Callable

import numpy as np
import torch


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load the artefact of a folder; return the function that runs it.

    Args:
        folder: with ``model.pt2``.
        threads: 0: torch's own choice.
    """
    if threads:
        torch.set_num_threads(threads)
    program = torch.export.load(os.path.join(folder, "model.pt2")).module()  # noqa: PTH118

    def run(array: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            outputs = program(torch.from_numpy(array))
        return [output.numpy() for output in outputs]

    return run
