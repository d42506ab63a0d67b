"""Run a model in eager torch, from the order that ``latency/eager.py`` writes; needs densekd itself."""

import json
import os
from collections.abc import Callable

import numpy as np
import torch

from densekd.models.open import open_model
from densekd.trust import trust_modules


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Open a model; return the function that runs it.

    Args:
        folder: with ``order.json``: the source, and the modules that it may name.
        threads: 0: torch's own choice.
    """
    if threads:
        torch.set_num_threads(threads)
    with open(os.path.join(folder, "order.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
        order = json.load(file)
    trust_modules(order["trust"])
    model = open_model(order["source"]).model.eval()

    def run(array: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            model(torch.from_numpy(array))
        return []

    return run
