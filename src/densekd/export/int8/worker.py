"""Process that quantizes a graph: ``python -m densekd.export.int8.worker JOB.json``; it writes lines of JSON.

Libraries print and may crash; both ends here. Lines are ``{"at": [what, number, count]}`` and, at
the end, ``{"kept": [...], "note": "..."}`` or ``{"error": "..."}``.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densekd.export.int8.telemetry import forbid_telemetry

# Tells how many of how many are done.
Tell = Callable[[str, int, int], None]
# Pictures that a search compares outputs on.
_COMPARED = 8
# Layers that NNCF's graph may keep in float beyond those that ONNX Runtime's needs.
_MORE = 3


class Batches(Sequence[np.ndarray]):
    """Pictures of a file as a graph takes them, read one batch at a time.

    Args:
        path: of an array of NumPy, uint8 ``[N, H, W, C]``.
        kind: ``float`` or ``uint8``.
        size: pictures of a batch; the last ones repeat where they do not fill it.
        count: batches at most.
        tell: called with the number of each batch that is read.
    """

    def __init__(self, path: str, kind: str, size: int, count: int | None = None, tell: Tell | None = None) -> None:
        self._tell = tell
        self._pictures = np.load(path, mmap_mode="r")
        self._kind = kind
        self._size = size
        self._count = -(-len(self._pictures) // size)
        if count is not None:
            self._count = min(self._count, count)

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._count

    def __getitem__(self, number: Any) -> Any:
        """Return a batch."""
        if not 0 <= number < self._count:
            raise IndexError(number)
        if self._tell is not None:
            self._tell("calibrating", number + 1, self._count)
        places = np.arange(number * self._size, (number + 1) * self._size) % len(self._pictures)
        pixels = np.array(self._pictures[places])
        if self._kind == "uint8":
            return pixels
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255)


def work(job: dict[str, Any], answer: Any) -> dict[str, Any]:
    """Quantize the graph of a job; return what stayed float.

    Args:
        job: see :class:`densekd.export.int8.job.Job`.
        answer: called with each line.
    """
    from densekd.export.int8.layers import chosen_layers
    from densekd.export.int8.quantize_onnx import Quantizer, folded
    from densekd.export.int8.search import Target, search

    def tell(what: str, number: int, count: int) -> None:
        answer({"at": [what, number, count]})

    out = Path(job["out"])
    graph = folded(Path(job["graph"]), Path(job["scratch"]) / "folded.onnx")
    batches = Batches(job["pictures"], job["kind"], job["batch"])
    some = Batches(job["pictures"], job["kind"], job["batch"], _COMPARED)
    quantizer = Quantizer(graph, batches, tell)
    kept = chosen_layers(quantizer.layers, job["keep_float"])
    if not set(quantizer.layers.nodes) - set(kept):
        raise ValueError("there is nothing to quantize: --keep-float names all layers.")
    found = None
    if job["auto"]:
        found = search(quantizer, kept, some, job["output"], Target(job["allow"], job["share"]), tell)
        kept += found.kept
    if job["engine"] == "onnx":
        import onnx

        onnx.save(quantizer.quantized(kept), out / "model.onnx")
        return {"kept": kept, "note": "" if found is None else _said(found.before, found.after)}
    told = Batches(job["pictures"], job["kind"], job["batch"], tell=tell)
    return _openvino(job, quantizer, kept, None if found is None else found.ranked, told)


def _openvino(
    job: dict[str, Any], quantizer: Any, kept: list[str], ranked: list[str] | None, batches: Batches
) -> dict[str, Any]:
    """Quantize by NNCF; where the search is asked for, with more layers in float until its outputs are near."""
    import openvino

    from densekd.export.int8.quantize_onnx import run_model
    from densekd.export.int8.quantize_openvino import quantize_by_nncf, run_openvino
    from densekd.export.int8.search import Target, cost_of

    graph = Path(job["scratch"]) / "folded.onnx"
    model = quantize_by_nncf(graph, batches, quantizer.layers, kept)
    note = ""
    if ranked is not None:
        some = Batches(job["pictures"], job["kind"], job["batch"], _COMPARED)
        wanted = run_model(quantizer.model, some)
        target = Target(job["allow"], job["share"])
        kind = target.measured_by(job["output"])
        before = cost = cost_of(run_openvino(model, some), wanted, kind)
        enough = target.cost(before)
        others = [name for name in ranked if name not in kept]
        for _ in range(_MORE):
            if cost <= enough or not others:
                break
            # Twice as many each time: NNCF measures anew.
            more = others[: max(1, len(ranked) - len(others))]
            other = quantize_by_nncf(graph, batches, quantizer.layers, [*kept, *more])
            found = cost_of(run_openvino(other, some), wanted, kind)
            if found >= cost:
                break
            kept, cost, model = [*kept, *more], found, other
            others = others[len(more) :]
        note = _said(before, cost)
    openvino.save_model(model, Path(job["out"]) / "model.xml", compress_to_fp16=False)
    return {"kept": kept, "note": note}


def _said(before: float, after: float) -> str:
    return f"outputs on training pictures: {before:.2f} % off before the search, {after:.2f} % after it"


def main() -> None:
    """Do the job; whatever else is printed goes to the errors."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.disable(logging.WARNING)
    forbid_telemetry()

    def answer(line: dict[str, Any]) -> None:
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    try:
        answer(work(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), answer))
    except Exception as error:  # the libraries raise anything
        reason = (str(error).strip().splitlines() or [""])[0]
        said = reason if isinstance(error, ValueError) and reason else f"{type(error).__name__}: {reason}"
        answer({"error": said[:400]})


if __name__ == "__main__":
    main()
