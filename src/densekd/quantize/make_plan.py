"""Make a quantization plan of any model: what integer engines (ONNX Runtime, OpenVINO, TensorRT) fuse."""

from collections.abc import Sequence

from torch import Tensor, nn

from densekd.errors import UserError
from densekd.quantize.grid import Activations, Steps
from densekd.quantize.layers import is_quantized, weight_axis
from densekd.quantize.plan import LAST, QuantizationPlan, is_named
from densekd.quantize.probe import Call, Key, Seen, is_norm, probe_reads

# Activations that engines compute inside a convolution: they only clip.
_CLIPPING = (nn.ReLU, nn.ReLU6)
# What returns values of its input alone, and so stays on its grid.
_CHOOSING = (nn.MaxPool2d,)


def make_plan(
    model: nn.Module,
    images: Tensor,
    keep_float: Sequence[str] = (LAST,),
    activations: Activations = "uint8",
    steps: Steps = "power-of-two",
) -> QuantizationPlan:
    """Choose the layers and tensors of a model that are quantized.

    Every convolution, transposed convolution and linear layer that the model's output depends on gets
    an int8 weight, and an input on a grid. The grid is that of the module that made the input, so that
    all who read it (a residual addition, another branch) read the same integers; where no module made
    it (a sum, a concatenation, a resized map), it is the layer's own. The output of a convolution,
    behind its batch norm and ReLU, is on a grid, too: integer engines want it so. Layer norms,
    softmax and products of activations stay float.

    Args:
        model: is run once in evaluation mode, and is not changed.
        images: float in [0, 1], ``[B, 3, H, W]``.
        keep_float: names and patterns of modules that stay float with all that is inside; ``last``:
            the layers whose results are the output, as a classifier's or a detector's.
        activations: see :class:`densekd.quantize.plan.QuantizationPlan`.
        steps: the same.

    Raises:
        UserError: the model is quantized already, a name that it does not have, or nothing to
            quantize.
    """
    modules = dict(model.named_modules())
    if any(is_quantized(module) for module in modules.values()):
        raise UserError("The model is quantized already; densekd.quantize.remove makes it float again.")
    names = [name for name in keep_float if name != LAST]
    for name in names:
        if not any(is_named(module, [name]) for module in modules):
            raise UserError(f"keep_float: the model has no module '{name}'.")
    seen = probe_reads(model, images)
    layers = []
    for name, module in modules.items():
        left_out = is_named(name, names) or (LAST in keep_float and name in seen.last)
        if weight_axis(module) is not None and name in seen.reaching and not left_out:
            layers.append(name)
    if not layers:
        raise UserError(
            "There is nothing to quantize: the model has no convolution and no linear layer besides those that "
            "keep_float names."
        )
    norms = _norms(seen, layers, modules)
    outputs, inputs, reads = _grids(seen, layers, norms, modules)
    same = _choosing(seen, outputs, modules)
    return QuantizationPlan(
        activations=activations,
        steps=steps,
        layers=tuple(layers),
        norms=norms,
        outputs=tuple(name for name in outputs if name not in same),
        inputs=tuple(inputs),
        reads=reads,
        same=same,
    )


def describe_plan(plan: QuantizationPlan, model: nn.Module) -> str:
    """Say in a sentence how much of a model is int8, and which layers stay float."""
    names = [name for name, module in model.named_modules() if weight_axis(module) is not None]
    left = [name for name in names if name not in plan.layers]
    shown = ", ".join(left[:6]) + (f" and {len(left) - 6} more" if len(left) > 6 else "")
    stays = f"; float: {shown}" if left else ""
    return f"quantization: {len(plan.layers)} of {len(names)} layers in int8{stays}"


def _norms(seen: Seen, layers: Sequence[str], modules: dict[str, nn.Module]) -> dict[str, str]:
    """Pair each convolution with the batch norm that alone reads its output, and reads nothing else."""
    readers = _readers(seen)
    pairs: dict[str, str] = {}
    for name in layers:
        calls = seen.calls_of(name)
        found = {_norm_after(call, readers, seen, modules) for call in calls}
        norm = found.pop() if len(found) == 1 else None
        convolves = isinstance(modules[name], nn.Conv2d) or hasattr(modules[name], "join")
        if norm is None or not convolves:
            continue
        # The norm may read no other convolution.
        if len(seen.calls_of(norm)) == len(calls) and norm not in pairs.values():
            pairs[name] = norm
    return pairs


def _norm_after(call: Call, readers: dict[Key, list[str]], seen: Seen, modules: dict[str, nn.Module]) -> str | None:
    """Return the batch norm that alone reads what a layer returned, or None."""
    if call.output is None or seen.reads[call.output] != 1:
        return None
    reading = [name for name in readers.get(call.output, []) if is_norm(modules[name])]
    return reading[0] if len(reading) == 1 else None


def _grids(
    seen: Seen, layers: Sequence[str], norms: dict[str, str], modules: dict[str, nn.Module]
) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Return the modules whose output is on a grid, the layers whose input is, and what layers read."""
    readers = _readers(seen)
    outputs: dict[str, None] = {}
    inputs: dict[str, None] = {}
    reads: dict[str, list[str]] = {}
    for name in layers:
        for call in seen.calls_of(name):
            # The input: on the grid of who made it, or the layer's own.
            maker = seen.makers.get(call.inputs[0]) if len(call.inputs) == 1 else None
            if maker is None or hasattr(modules[name], "join"):
                inputs[name] = None
            else:
                outputs[maker] = None
                if maker not in reads.setdefault(name, []):
                    reads[name].append(maker)
            # The output of a convolution, behind what is computed inside it.
            if isinstance(modules[name], nn.Linear) or call.output is None:
                continue
            outputs[_end(name, call.output, norms, readers, seen, modules)] = None
    return list(outputs), list(inputs), reads


def _end(
    name: str,
    key: Key,
    norms: dict[str, str],
    readers: dict[Key, list[str]],
    seen: Seen,
    modules: dict[str, nn.Module],
) -> str:
    """Return the module behind a convolution whose output leaves the integer engine's fused operation."""
    end = name
    if name in norms:
        end = norms[name]
        call = next(call for call in seen.calls_of(end) if call.inputs[0] == key)
        key = call.output or key
    behind = [reader for reader in readers.get(key, []) if type(modules[reader]) in _CLIPPING]
    return behind[0] if behind else end


def _choosing(seen: Seen, outputs: Sequence[str], modules: dict[str, nn.Module]) -> dict[str, str]:
    """Pair pooling modules with the one on whose grid their input is already."""
    pairs: dict[str, str] = {}
    for name in outputs:
        calls = seen.calls_of(name)
        if type(modules[name]) not in _CHOOSING or len(calls) != 1:
            continue
        maker = seen.makers.get(calls[0].inputs[0])
        if maker in outputs and maker is not None:
            pairs[name] = maker
    return pairs


def _readers(seen: Seen) -> dict[Key, list[str]]:
    """Return the modules that are given each tensor."""
    readers: dict[Key, list[str]] = {}
    for call in seen.calls:
        for key in call.inputs:
            readers.setdefault(key, []).append(call.name)
    return readers
