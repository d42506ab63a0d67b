"""Order to quantize a graph, done in a process of its own: a crash of a library is a refusal."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from densekd.errors import UserError
from densekd.terminal import track

# Seconds that nothing may happen: a picture of ten megapixels takes less.
SILENCE = 1800.0
_COMMAND = ("-m", "densekd.export.int8.worker")


@dataclass(frozen=True)
class Job:
    """What is quantized, and how.

    Args:
        engine: ``onnx`` (by ONNX Runtime) or ``openvino`` (by NNCF).
        graph: float ONNX file.
        pictures: array of NumPy, uint8 ``[N, H, W, C]``.
        kind: ``float`` or ``uint8``: what the graph takes.
        batch: pictures at once.
        output: name of the output.
        keep_float: names of layers, ``last``.
        auto: whether what costs most is searched and put back in float.
        allow: cost that the search accepts, percent.
        share: the same as a share of the cost before, see :class:`densekd.export.int8.search.Target`.
        scratch: a folder for files in between.
        out: the folder of the artefact.
    """

    engine: str
    graph: str
    pictures: str
    kind: str
    batch: int
    output: str
    keep_float: list[str]
    auto: bool
    allow: float
    share: float
    scratch: str
    out: str


@dataclass(frozen=True)
class Quantized:
    """What became of a job.

    Args:
        kept: layers that stayed float.
        note: what a search found, a sentence or nothing.
    """

    kept: tuple[str, ...]
    note: str


def run_job(job: Job, silence: float = SILENCE) -> Quantized:
    """Quantize a graph in a process of its own, with a bar on a terminal.

    Args:
        job: what is done.
        silence: seconds without a sign of progress after which it is ended.

    Raises:
        UserError: the libraries cannot do it, crash or hang.
    """
    path = Path(job.scratch) / "job.json"
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")
    command = [sys.executable, *_COMMAND, str(path)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True}
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(command, stderr=said, env=_environment(), **pipes) as process:
            watchdog = _Watchdog(process, silence)
            try:
                last = _follow(watchdog.lines(), f"{job.engine}-int8")
            finally:
                # It has said its last line, or nobody listens any more.
                process.kill()
        if watchdog.bit:
            raise UserError(f"the process that quantizes it did nothing for {silence:.0f} s, and was ended.")
        if "error" in last:
            raise UserError(f"it cannot be quantized: {last['error']}")
        if "kept" not in last:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1][:400] if lines else f"it ended with {process.returncode}"
            raise UserError(f"the process that quantizes it crashed: {reason}")
    return Quantized(tuple(last["kept"]), last["note"])


def _environment() -> dict[str, str]:
    """Return an environment in which the process finds this very package."""
    package = str(Path(__file__).parents[3])
    before = os.environ.get("PYTHONPATH")
    places = package if not before else os.pathsep.join([package, before])
    return os.environ | {"PYTHONPATH": places, "PYTHONSAFEPATH": "1"}


class _Watchdog:
    """End a process that says nothing for too long.

    Args:
        process: says lines of JSON.
        silence: seconds between two of them at most.
    """

    def __init__(self, process: "subprocess.Popen[str]", silence: float) -> None:
        self._process = process
        self._silence = silence
        self.bit = False

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what the process says until it ends, or is ended."""
        assert self._process.stdout is not None
        while True:
            timer = threading.Timer(self._silence, self._bite)
            timer.start()
            try:
                line = self._process.stdout.readline()
            finally:
                timer.cancel()
            if not line:
                return
            yield json.loads(line)

    def _bite(self) -> None:
        self.bit = True
        self._process.kill()


def _follow(lines: Iterator[dict[str, Any]], name: str) -> dict[str, Any]:
    """Read a process's lines until it ends, and return the last one."""
    last: dict[str, Any] = {}
    for line in lines:
        last = line
        while "at" in last:
            # One bar for each thing that is done.
            what, _, count = last["at"]
            last = _bar(lines, last, f"{name} {what}", what, count)
    return last


def _bar(lines: Iterator[dict[str, Any]], first: dict[str, Any], title: str, what: str, count: int) -> dict[str, Any]:
    """Show a bar as long as lines tell of the same thing; return the first line that does not, or the last one."""
    rest: dict[str, Any] = {}

    def steps() -> Iterator[int]:
        nonlocal rest
        line = first
        while "at" in line and line["at"][0] == what:
            yield line["at"][1]
            line = next(lines, {})
        rest = line

    for _ in track(steps(), title, count):
        pass
    return rest
