"""Values of a file's weights: finite, not quantized, converted to the model's precision."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.checkpoints.match import COUNTER
from densekd.ops.finite import is_negative_variance


def load_values(model: nn.Module, state: Mapping[str, Tensor], name: str) -> tuple[str, ...]:
    """Load tensors of a model's names and shapes; values of another precision are converted.

    Args:
        model: changed in place.
        state: of the model's names and shapes; it may lack some.
        name: of the file, for messages.

    Returns:
        a note where the file has another precision than the model.

    Raises:
        UserError: a weight is not finite, or is quantized; nothing was loaded.
    """
    own = model.state_dict()
    converted = set()
    for key, value in state.items():
        needed = own[key].dtype
        # Numbers of 8 bits are no weights without their scales; counters may have been halved with the rest.
        if value.is_floating_point() != needed.is_floating_point and not key.endswith(COUNTER):
            raise UserError(
                f"{name}: {key} is stored as {_dtype(value.dtype)}, and the model needs {_dtype(needed)}. Weights "
                "that were quantized cannot be read; name the checkpoint before that."
            )
        if value.is_floating_point() and value.dtype != needed and not key.endswith(COUNTER):
            converted.add(_dtype(value.dtype))
    require_finite(state, name)
    model.load_state_dict(state, strict=False)
    if not converted:
        return ()
    return (f"{name}: the weights are stored as {', '.join(sorted(converted))} and were converted to float32.",)


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def require_finite(state: Mapping[str, Tensor], name: str) -> None:
    """Refuse weights that are not finite: what a model predicts with them means nothing.

    Args:
        state: what is to be loaded.
        name: of the file, for the message.

    Raises:
        UserError: NaN or infinity in a tensor, or a variance below zero; the first is named.
    """
    broken = [key for key, value in state.items() if not _is_finite(value)]
    if not broken:
        _require_variances(state, name)
        return
    first = broken[0]
    wrong = int((~state[first].float().isfinite()).sum())
    others = f" and {len(broken) - 1} more tensors" if len(broken) > 1 else ""
    raise UserError(
        f"{name}: the weights are not finite (NaN or infinity): {wrong} of {state[first].numel()} values of "
        f"{first}{others}. The training that wrote them diverged, or the file is damaged; take an earlier checkpoint."
    )


def _require_variances(state: Mapping[str, Tensor], name: str) -> None:
    """Refuse running variances below zero, whose root is NaN.

    Raises:
        UserError: there is one.
    """
    negative = [key for key, value in state.items() if is_negative_variance(key, value)]
    if negative:
        raise UserError(
            f"{name}: {negative[0]}, a variance of batch norm, is negative, so that all that follows is NaN. The file "
            "is damaged, or the program that wrote it went wrong; take an earlier one."
        )


def _is_finite(value: Tensor) -> bool:
    if not value.is_floating_point() or value.device.type == "meta":
        return True
    # Numbers of 8 bits know no such question.
    if value.dtype.itemsize == 1:
        value = value.float()
    # A sum in double precision is finite where every value is, at less cost than asking each.
    if bool(value.sum(dtype=torch.float64).isfinite()):
        return True
    return bool(value.isfinite().all())
