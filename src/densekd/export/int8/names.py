"""Names of layers that are asked for, checked before anything is converted."""

from collections.abc import Sequence
from difflib import get_close_matches

from torch import nn

from densekd.errors import RecipeError
from densekd.export.int8.layers import LAST, is_meant, short_name
from densekd.quantize.layers import weight_axis

# Word that asks for a search.
AUTO = "auto"
_SHOWN = 6


def require_layers(model: nn.Module, keep_float: Sequence[str]) -> None:
    """Check that names and patterns of layers fit something in a model.

    Args:
        model: whose modules the names are of.
        keep_float: names, patterns, ``last``, ``auto``.

    Raises:
        RecipeError: a name that fits nothing; the message has the nearest ones.
    """
    layers = [short_name(name) for name, module in model.named_modules() if _has_weight(module)]
    for pattern in keep_float:
        if pattern in (LAST, AUTO) or any(is_meant(name, short_name(pattern)) for name in layers):
            continue
        # Layers, and what they are inside: head.levels.0, head.levels, head.
        known = dict.fromkeys(layers)
        for name in layers:
            parts = name.split(".")
            known |= {".".join(parts[:count]): None for count in range(1, len(parts))}
        near = get_close_matches(pattern, list(known), n=_SHOWN, cutoff=0.5)
        listed = f"Nearest: {', '.join(near)}." if near else f"There are {', '.join(layers[:_SHOWN])}, ..."
        raise RecipeError(f"--keep-float: the model has no layer '{pattern}'. {listed}")


def _has_weight(module: nn.Module) -> bool:
    """Tell whether a module is a layer, also one of a class that is not known here."""
    weight = getattr(module, "weight", None)
    own = isinstance(weight, nn.Parameter) and weight.ndim > 1
    return own or weight_axis(module) is not None
