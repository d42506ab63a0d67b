"""Layers of an ONNX graph by their names in the model, and which of them make its outputs."""

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

# Operators with a weight.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What integer kernels do besides; in networks with attention these sums keep what layers add, and stay float.
_BETWEEN = ("Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Relu", "Clip")
_ATTENTION = ("LayerNormalization", "Softmax")
# Name of a network in modules around it.
_WRAPPER = "model."
# Word for the layers that make the outputs.
LAST = "last"


@dataclass(frozen=True)
class Layers:
    """Layers of a graph.

    Args:
        nodes: name of a layer in the model -> its nodes; a head that several levels share has several.
        last: layers whose results are the outputs, with no other layer in between.
        float_nodes: nodes that are never quantized: decoding behind the last layers, products with
            the fixed matrices of pooling.
        operators: types of nodes that are quantized.
        attends: whether there is attention.
    """

    nodes: dict[str, list[str]]
    last: tuple[str, ...]
    float_nodes: tuple[str, ...]
    operators: tuple[str, ...]
    attends: bool


def find_layers(graph: Any) -> Layers:
    """Find the layers of an ONNX graph.

    Args:
        graph: ``onnx.GraphProto`` whose nodes have names of their own.
    """
    weights = {value.name for value in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for source in node.input:
            readers.setdefault(source, []).append(node)
    nodes: dict[str, list[str]] = {}
    layer_of: dict[str, str] = {}
    fixed = []
    for node in graph.node:
        if node.op_type not in WEIGHTED:
            continue
        if not _has_weight(node, weights, makers):
            fixed.append(node.name)
            continue
        name = _layer_name(node, weights, readers)
        nodes.setdefault(name, []).append(node.name)
        layer_of[node.name] = name
    last, behind = _ends(graph, makers, layer_of)
    attends = any(node.op_type in _ATTENTION[:1] for node in graph.node)
    operators = WEIGHTED if attends else (*WEIGHTED, *_BETWEEN)
    return Layers(nodes, tuple(last), (*behind, *fixed), operators, attends)


def _has_weight(node: Any, weights: set[str], makers: dict[str, Any]) -> bool:
    """Tell whether a node multiplies by a weight: products of activations and pooling do not."""
    if len(node.input) < 2 or node.input[1] not in weights or node.input[0] in weights:
        return False
    # A product with fixed matrices from both sides is pooling.
    before = makers.get(node.input[0])
    return not (node.op_type == "MatMul" and before is not None and _multiplies_from_left(before, weights))


def _multiplies_from_left(node: Any, weights: set[str]) -> bool:
    return node.op_type == "MatMul" and node.input[0] in weights


def _layer_name(node: Any, weights: set[str], readers: dict[str, list[Any]]) -> str:
    """Return the name that a layer has in the model, or its node's where the graph has lost it."""
    names = [name for name in node.input if name in weights]
    # A linear layer's weight is transposed and has lost its name; the sum behind it has the bias.
    for reader in readers.get(node.output[0], []):
        if reader.op_type == "Add":
            names += [name for name in reader.input if name in weights]
    for name in names:
        found = re.fullmatch(r"(?:model\.)*(.+)\.(?:weight|bias)", name)
        if found is not None:
            return found[1]
    return _of_scope(node.name)


def _of_scope(name: str) -> str:
    """Turn ``/model/head/levels.0/levels.0.1/Conv`` of the tracing exporter into ``head.levels.0.1``."""
    parts = [part for part in name.split("/") if part]
    if not name.startswith("/") or len(parts) < 2:
        return name
    kept: list[str] = []
    for part in parts[:-1]:
        if kept and part.startswith(f"{kept[-1]}."):
            kept.pop()
        kept.append(part)
    if len(kept) > 1 and kept[0] == "model":
        kept = kept[1:]
    return ".".join(kept)


def _ends(graph: Any, makers: dict[str, Any], layer_of: dict[str, str]) -> tuple[list[str], list[str]]:
    """Walk back from the outputs to the nearest layers; return these, and the nodes on the way."""
    last: dict[str, None] = {}
    behind: dict[str, None] = {}
    waiting = [output.name for output in graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in behind:
            continue
        if node.name in layer_of:
            last[layer_of[node.name]] = None
            continue
        behind[node.name] = None
        waiting += list(node.input)
    return list(last), list(behind)


def chosen_layers(layers: Layers, keep_float: list[str]) -> list[str]:
    """Return the layers that names and patterns mean.

    Args:
        layers: of the graph.
        keep_float: names of layers or of modules around them, patterns (``head.*``), ``last``.

    Raises:
        ValueError: a name that fits no layer; the message lists layers.
    """
    chosen: dict[str, None] = {}
    for pattern in keep_float:
        if pattern == LAST:
            chosen |= dict.fromkeys(layers.last)
            continue
        found = [name for name in layers.nodes if is_meant(name, short_name(pattern))]
        if not found:
            known = ", ".join(list(layers.nodes)[:12])
            raise ValueError(f"--keep-float: no layer '{pattern}'; there are {known}, ...")
        chosen |= dict.fromkeys(found)
    return list(chosen)


def short_name(name: str) -> str:
    """Return a module's name as layers of graphs have it: without the wrappers around the network."""
    while name.startswith(_WRAPPER):
        name = name.removeprefix(_WRAPPER)
    return name


def is_meant(name: str, pattern: str) -> bool:
    """Tell whether a layer's name is a pattern's: itself, inside it, or by ``*`` and ``?``."""
    return name == pattern or name.startswith(f"{pattern}.") or fnmatch(name, pattern)
