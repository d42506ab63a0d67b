"""Run ``model.pte`` in ExecuTorch on the CPU."""

import os
from collections.abc import Callable

import numpy as np
import torch
from executorch.runtime import Runtime


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load the artefact of a folder; return the function that runs it.

    Args:
        folder: with ``model.pte``.
        threads: 0: the engine's own choice.
    """
    if threads:
        torch.set_num_threads(threads)
    program = Runtime.get().load_program(os.path.join(folder, "model.pte"))  # noqa: PTH118
    method = program.load_method("forward")
    assert method is not None

    def run(array: np.ndarray) -> list[np.ndarray]:
        # Copied: the next run writes into the same memory.
        return [output.numpy().copy() for output in method.execute([torch.from_numpy(array)])]

    return run
