"""Run ``model.ncnn.param`` in ncnn on the CPU."""

import os
from collections.abc import Callable

import ncnn
import numpy as np


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load the artefact of a folder; return the function that runs it, one picture at a time.

    Args:
        folder: with ``model.ncnn.param`` and ``model.ncnn.bin``.
        threads: 0: the engine's own choice.
    """
    net = ncnn.Net()
    # Arithmetic as the artefact has it: half precision would be the engine's choice on some processors.
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, option, False)
    if threads:
        net.opt.num_threads = threads
    for load, name in ((net.load_param, "model.ncnn.param"), (net.load_model, "model.ncnn.bin")):
        if load(os.path.join(folder, name)) != 0:  # noqa: PTH118
            raise RuntimeError(f"ncnn cannot read {name}")

    def run(array: np.ndarray) -> list[np.ndarray]:
        # A Mat borrows the memory of an array that must outlive it.
        pixels = np.ascontiguousarray(array[0])
        image = ncnn.Mat(pixels)
        extractor = net.create_extractor()
        extractor.input("in0", image)
        outputs = []
        for name in net.output_names():
            status, found = extractor.extract(name)
            if status != 0:
                raise RuntimeError(f"ncnn computes no {name} (status {status})")
            outputs.append(np.array(found)[None])
        return outputs

    return run
