"""Attempts at an artefact: int8 that costs too much is tried again with the most costly layers in float."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from densekd.export.graph import Calibration, Graph
from densekd.export.int8.names import AUTO
from densekd.export.options import KEEP_FLOAT, ExportOptions
from densekd.export.verdict import Verdict

# Share of the first graph's error on training pictures that the second one may have.
_SHARE = 0.25


def searched(graph: Graph, verdict: Verdict, options: ExportOptions) -> Graph | None:
    """Return the graph of the next attempt, with a search for layers; None where there is none.

    Args:
        graph: of the first attempt.
        verdict: on it.
        options: where somebody named layers, these are the answer.
    """
    calibration = graph.calibration
    costs = verdict.difference is not None and bool(np.isfinite(verdict.difference))
    if verdict.passed or calibration is None or options.keep_float is not None or not costs:
        return None
    more: Calibration = replace(calibration, keep_float=(*KEEP_FLOAT, AUTO), share=_SHARE)
    return replace(graph, calibration=more)


def told(verdict: Verdict, before: Verdict | None) -> Verdict:
    """Add to a verdict what was tried before it.

    Args:
        verdict: on the last attempt.
        before: on the one before; None where there was none.
    """
    if before is None:
        return verdict
    said = f"a first int8 graph was refused: {before.reason.rstrip('.')}; then layers were searched that cost most"
    return replace(verdict, note="; ".join(_some(said, verdict.note)))


def _some(*sentences: str) -> Iterator[str]:
    return (sentence for sentence in sentences if sentence)
