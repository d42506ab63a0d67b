"""Search for the layers that int8 costs most: ranked one by one, put back in float until outputs are near enough."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from densekd.export.int8.quantize_onnx import Quantizer, Tell, run_model

# Errors of numbers may be larger than shares of changed labels: int8 has a step of 1/255.
_NUMBERS = 10.0
# Layers that a search puts back at least and at most, where it finds no end: a share of all.
_FEWEST = 4
_SHARE = 0.25


@dataclass(frozen=True)
class Target:
    """Cost that a search accepts.

    Args:
        allow: percent.
        share: of what int8 cost before the search; 1: as much as that.
    """

    allow: float
    share: float = 1.0

    def cost(self, before: float) -> float:
        """Return the percent that are accepted where it was ``before``."""
        return min(self.allow, self.share * before)

    def measured_by(self, output: str) -> str:
        """Return what a graph's cost is measured by: its output, or the numbers of it.

        Where a score was refused, equal labels on a few training pictures are no comfort.
        """
        return "numbers" if self.share < 1 and output != "labels" else output


@dataclass(frozen=True)
class Search:
    """Layers that were put back in float, and what is left.

    Args:
        ranked: all layers that may be put back, the most costly first.
        kept: the first ones of them, in float again.
        before: cost of int8 without the search, percent.
        after: with it.
        enough: whether the cost is accepted.
    """

    ranked: list[str]
    kept: list[str]
    before: float
    after: float
    enough: bool


def cost_of(found: Sequence[Sequence[np.ndarray]], wanted: Sequence[Sequence[np.ndarray]], kind: str) -> float:
    """Return what outputs cost, percent: changed labels; of numbers a tenth of their relative error.

    Args:
        found: outputs of each batch.
        wanted: those of the float graph.
        kind: name of the output.
    """
    costs = []
    for ours, theirs in zip(wanted, found, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            costs.append(_cost(a, b, kind))
    # One output that is broken is enough: outputs apart, pictures together.
    outputs = np.array(costs).reshape(len(wanted), -1)
    return float(outputs.mean(0).max())


def _cost(wanted: np.ndarray, found: np.ndarray, kind: str) -> float:
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    if kind in ("logits", "scores"):
        return 100 * float(np.mean(wanted.argmax(1) != found.argmax(1)))
    if kind == "labels":
        return 100 * float(np.mean(wanted != found))
    size = float(np.linalg.norm(wanted)) or 1.0
    return 100 / _NUMBERS * float(np.linalg.norm(wanted.astype(np.float64) - found)) / size


def search(
    quantizer: Quantizer, keep_float: list[str], batches: Sequence[np.ndarray], kind: str, target: Target, tell: Tell
) -> Search:
    """Put back in float what costs most.

    Args:
        quantizer: with measured ranges.
        keep_float: layers that are float anyway.
        batches: some training pictures.
        kind: name of the output.
        target: cost that is accepted.
        tell: called with the progress.
    """
    wanted = run_model(quantizer.model, batches)
    kind = target.measured_by(kind)

    def cost(model: object) -> float:
        return cost_of(run_model(model, batches), wanted, kind)

    before = cost(quantizer.quantized(keep_float))
    others = [name for name in quantizer.layers.nodes if name not in keep_float]
    allow = target.cost(before)
    if before <= allow:
        return Search(others, [], before, before, enough=True)
    # What each layer costs when it alone is int8. Changed labels are too coarse for that.
    alone = {}
    for number, name in enumerate(others, 1):
        tell("searching", number, len(others))
        alone[name] = cost_of(run_model(quantizer.quantized(keep_float, only=name), batches), wanted, "numbers")
    ranked = sorted(others, key=lambda name: alone[name], reverse=True)
    limit = min(len(ranked), max(_FEWEST, int(_SHARE * len(ranked))))
    best, best_cost = 0, before
    count = 1
    while count <= limit:
        tell("putting back", count, limit)
        found = cost(quantizer.quantized([*keep_float, *ranked[:count]]))
        if found < best_cost:
            best, best_cost = count, found
        if found <= allow:
            break
        count += max(1, count // 2)
    # Layers that did not help stay int8.
    return Search(ranked, ranked[:best], before, best_cost, enough=best_cost <= allow)
