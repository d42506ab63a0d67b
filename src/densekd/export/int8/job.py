"""Order to quantize a graph, done in a process of its own: a crash of a library is a refusal."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from densekd.errors import UserError
from densekd.terminal import track


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


def run_job(job: Job) -> Quantized:
    """Quantize a graph in a process of its own, with a bar on a terminal.

    Raises:
        UserError: the libraries cannot do it, or crash.
    """
    path = Path(job.scratch) / "job.json"
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")
    command = [sys.executable, "-m", "densekd.export.int8.worker", str(path)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True}
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(command, stderr=said, env=_environment(), **pipes) as process:
            try:
                last = _follow(process, f"{job.engine}-int8")
            finally:
                # It has said its last line, or nobody listens any more.
                process.kill()
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
    # NNCF reports its use to its makers, except where CI is set.
    return os.environ | {"PYTHONPATH": places, "PYTHONSAFEPATH": "1", "CI": "true"}


def _follow(process: "subprocess.Popen[str]", name: str) -> dict[str, Any]:
    """Read a process's lines until it ends, and return the last one."""
    assert process.stdout is not None
    last: dict[str, Any] = {}
    lines = (json.loads(line) for line in process.stdout)
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
