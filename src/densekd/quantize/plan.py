"""Quantization plan: which layers of a model get int8 weights, and which tensors lie on integer grids."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatch
from typing import Any

from densekd.errors import UserError
from densekd.quantize.grid import RANGES, STEPS, Activations, Steps

# Word of ``keep_float``: the layers whose results are the model's output.
LAST = "last"


@dataclass(frozen=True)
class QuantizationPlan:
    """What of a model is quantized, by the names of its modules; plain data.

    Args:
        activations: ``uint8``: asymmetric; ``int8``: symmetric, as TensorRT wants it.
        steps: ``power-of-two``: every step is one, so that integer engines and torch compute the same
            bits; ``free``: any step, up to twice as fine.
        layers: with int8 weights, one step for each output channel.
        norms: layer -> the batch norm that it alone feeds, folded in evaluation mode and on devices.
        outputs: modules whose output is on a grid; all its readers share it.
        inputs: layers whose input is on a grid of their own, where no module's output is that.
        reads: layer -> the modules of ``outputs`` on whose grids its input is.
        same: pooling module -> the module of ``outputs`` on whose grid its own output is.
    """

    activations: Activations = "uint8"
    steps: Steps = "power-of-two"
    layers: tuple[str, ...] = ()
    norms: dict[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    reads: dict[str, list[str]] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)

    def entries(self) -> dict[str, Any]:
        """Return what a file holds of it: JSON's types alone."""
        content = asdict(self)
        for name in ("layers", "outputs", "inputs"):
            content[name] = list(content[name])
        return content


def parse_plan(content: Any, where: str) -> QuantizationPlan:
    """Check what a file says of a quantized model.

    Args:
        content: entries of a :class:`QuantizationPlan`.
        where: the file, for the message.

    Raises:
        UserError: an entry of the wrong type, or one that is not known.
    """
    known = {entry.name for entry in fields(QuantizationPlan)}
    if not isinstance(content, Mapping) or not set(content) <= known:
        raise _malformed(where, f"expected {', '.join(sorted(known))}")
    if content.get("activations", "uint8") not in RANGES:
        raise _malformed(where, f"activations are one of {', '.join(RANGES)}")
    if content.get("steps", "power-of-two") not in STEPS:
        raise _malformed(where, f"steps are one of {', '.join(STEPS)}")
    entries = dict(content)
    for name in ("layers", "outputs", "inputs"):
        entries[name] = tuple(_names(entries.get(name, ()), name, where))
    for name in ("norms", "same"):
        pairs = entries.get(name, {})
        if not isinstance(pairs, Mapping):
            raise _malformed(where, f"{name} is no mapping of names")
        _names([*pairs, *pairs.values()], name, where)
        entries[name] = dict(pairs)
    reads = entries.get("reads", {})
    if not isinstance(reads, Mapping):
        raise _malformed(where, "reads is no mapping of lists")
    for name, modules in reads.items():
        _names([name, *_names(modules, "reads", where)], "reads", where)
    entries["reads"] = dict(reads)
    return QuantizationPlan(**entries)


def _names(values: Any, entry: str, where: str) -> Sequence[str]:
    listed = isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)
    if not listed:
        raise _malformed(where, f"{entry} is no list of names")
    return values  # type: ignore[no-any-return]


def _malformed(where: str, reason: str) -> UserError:
    return UserError(f"{where}: its 'quantization' is malformed ({reason}).")


def is_named(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a module, or one that it is inside, is among names and patterns (``head.*``)."""
    return any(name == pattern or name.startswith(f"{pattern}.") or fnmatch(name, pattern) for pattern in patterns)
