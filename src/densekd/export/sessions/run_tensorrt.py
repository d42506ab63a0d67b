"""Run ``model.onnx`` in TensorRT by ``trtexec``: the engine is built once, every run is a process."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable

import numpy as np


def open_session(folder: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Build the engine of a folder; return the function that runs it.

    Args:
        folder: with ``model.onnx``.
        threads: not known to the engine.
    """
    work = tempfile.TemporaryDirectory()
    engine = os.path.join(work.name, "model.engine")  # noqa: PTH118
    picture = os.path.join(work.name, "picture.bin")  # noqa: PTH118
    answer = os.path.join(work.name, "answer.json")  # noqa: PTH118
    model = os.path.join(folder, "model.onnx")  # noqa: PTH118
    _trtexec(f"--onnx={model}", f"--saveEngine={engine}", "--noTF32", "--skipInference")

    def run(array: np.ndarray) -> list[np.ndarray]:
        assert work.name
        np.ascontiguousarray(array).tofile(picture)
        _trtexec(
            f"--loadEngine={engine}", f"--loadInputs=image:{picture}", f"--exportOutput={answer}", "--iterations=1"
        )
        with open(answer) as file:  # noqa: PTH123
            content = json.load(file)
        outputs = []
        for one in content:
            shape = [int(side) for side in str(one["dimensions"]).split("x")]
            outputs.append(np.array(one["values"], np.float32).reshape(shape))
        return outputs

    return run


def _trtexec(*options: str) -> None:
    done = subprocess.run(["trtexec", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"trtexec: {done.stdout.strip().splitlines()[-1:]}")
