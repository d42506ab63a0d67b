"""Serve an engine's session through pipes: ``python serve.py SESSION_FILE FOLDER THREADS``.

A message is one line of JSON and, after it, the bytes of the arrays whose types and shapes its key
``arrays`` lists. Requests: ``{"do": "run"}`` with one array, answered with the outputs; ``{"do": "time",
"warmup": n, "runs": n}`` with one, answered with ``seconds``, a list, and ``peak_bytes``. The first
message is the server's, when the artefact is loaded. An error is answered ``{"error": "..."}``.

It needs numpy alone, and any Python from 3.9: engines may live in environments of their own.
"""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Read a message; raise EOFError where the other side is gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    header = json.loads(line)
    arrays = []
    for dtype, shape in header.pop("arrays"):
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        content = stream.read(count)
        if len(content) < count:
            raise EOFError
        arrays.append(np.frombuffer(bytearray(content), dtype).reshape(shape))
    return header, arrays


def write_message(stream: BinaryIO, header: dict[str, Any], arrays: list[np.ndarray]) -> None:
    """Write a message."""
    described = [[array.dtype.str, list(array.shape)] for array in arrays]
    stream.write(json.dumps({**header, "arrays": described}).encode() + b"\n")
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def main() -> None:
    """Load the artefact, then answer until the input ends."""
    session_file, folder, threads = sys.argv[1:4]
    # Engines print; what they print must not run into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    run = load_session(session_file)(folder, int(threads))
    write_message(answers, {"loaded": True}, [])
    while True:
        try:
            request, arrays = read_message(sys.stdin.buffer)
        except EOFError:
            return
        try:
            header, outputs = _answer(run, request, arrays)
        except Exception as error:
            header, outputs = {"error": f"{type(error).__name__}: {error}"}, []
        write_message(answers, header, outputs)


def _answer(run: Any, request: dict[str, Any], arrays: list[np.ndarray]) -> tuple[dict[str, Any], list[np.ndarray]]:
    if request["do"] == "run":
        return {}, run(arrays[0])
    for _ in range(request["warmup"]):
        run(arrays[0])
    seconds = []
    for _ in range(request["runs"]):
        begin = time.perf_counter()
        run(arrays[0])
        seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds, "peak_bytes": _peak_bytes()}, []


def _peak_bytes() -> int:
    """Return the most memory that this process held; 0 where the system does not say."""
    # Linux counts what the process that started this one held into ru_maxrss, but not into this.
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def load_session(path: str) -> Any:
    """Import a session file by its path; return its ``open_session``."""
    spec = importlib.util.spec_from_file_location("engine_session", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.open_session


if __name__ == "__main__":
    main()
