"""Apply a quantization plan to a model in place, and take it back."""

from collections.abc import Mapping

import torch
from torch import nn

from densekd.errors import UserError
from densekd.quantize.grid import FakeQuantizer
from densekd.quantize.layers import fold_norm, quantize_layer, quantize_output, restore, set_sources, weight_axis
from densekd.quantize.plan import QuantizationPlan

# Attribute of a quantized model: its plan, whose names begin there.
_PLAN = "quantization_plan"


def apply_plan(model: nn.Module, plan: QuantizationPlan) -> nn.Module:
    """Quantize a model in place; its activations have no range yet.

    Names of modules and keys of weights stay; keys ``*.input_quantizer.low``, ``.high`` and
    ``*.output_quantizer.low``, ``.high`` are added.

    Args:
        model: float.
        plan: made of this model, see :func:`densekd.quantize.make_plan.make_plan`.

    Returns:
        the same model.

    Raises:
        UserError: a plan of another model.
    """
    modules = dict(model.named_modules())
    _require_modules(plan, modules)
    device = _device_of(model)
    for name in plan.layers:
        quantize_layer(modules[name], plan.steps)
    for name in plan.inputs:
        modules[name].add_module("input_quantizer", FakeQuantizer(plan.activations, plan.steps).to(device))
    for name in plan.outputs:
        quantize_output(modules[name], FakeQuantizer(plan.activations, plan.steps).to(device))
    # Pooling chooses among values of a grid; its output is put on it once more, which changes nothing.
    for name, other in plan.same.items():
        shared = modules[other].get_submodule("output_quantizer")
        assert isinstance(shared, FakeQuantizer)
        quantize_output(modules[name], shared)
    for conv, norm in plan.norms.items():
        fold_norm(modules[conv], modules[norm])
    for name in plan.layers:
        set_sources(modules[name], _sources(modules, name, plan))
    _set_exact_means(model, True)
    object.__setattr__(model, _PLAN, plan)
    return model


def _set_exact_means(model: nn.Module, exact: bool) -> None:
    """Let pooling that has ``exact_means`` round each mean once, as integer engines do, or as torch does."""
    for module in model.modules():
        if hasattr(module, "exact_means"):
            object.__setattr__(module, "exact_means", exact)


def _sources(modules: Mapping[str, nn.Module], name: str, plan: QuantizationPlan) -> list[FakeQuantizer]:
    """Return the grids that the input of a layer may be on: its own is the last one."""
    if name in plan.inputs:
        grids = [modules[name].get_submodule("input_quantizer")]
    else:
        grids = [modules[maker].get_submodule("output_quantizer") for maker in plan.reads.get(name, ())]
    return [grid for grid in grids if isinstance(grid, FakeQuantizer)]


def plan_of(model: nn.Module) -> QuantizationPlan | None:
    """Return the plan by which a model was quantized; None of a float model."""
    found: QuantizationPlan | None = vars(model).get(_PLAN)
    return found


def remove(model: nn.Module) -> nn.Module:
    """Make a quantized model float again, in place: its own classes, and the weights that it learnt."""
    _set_exact_means(model, False)
    for module in list(model.modules()):
        restore(module)
        vars(module).pop(_PLAN, None)
    return model


def _require_modules(plan: QuantizationPlan, modules: dict[str, nn.Module]) -> None:
    """Refuse a plan of another model.

    Raises:
        UserError: names a module that is not there, or one that is no layer.
    """
    read = [maker for makers in plan.reads.values() for maker in makers]
    named = [*plan.layers, *plan.outputs, *plan.inputs, *plan.reads, *read]
    for pairs in (plan.norms, plan.same):
        named += [*pairs, *pairs.values()]
    for name in named:
        if name not in modules:
            raise UserError(f"The quantization is of another model: this one has no module '{name}'.")
    for name in {*plan.layers, *plan.norms, *plan.inputs}:
        if weight_axis(modules[name]) is None or name not in plan.layers:
            kind = type(modules[name]).__name__
            raise UserError(f"The quantization is of another model: '{name}' is a {kind}, no layer to quantize.")
    for name in [*plan.same.values(), *read]:
        if name not in plan.outputs and name not in plan.same:
            raise UserError(f"The quantization is of another model: '{name}' has no grid to share.")


def _device_of(model: nn.Module) -> torch.device:
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")
