"""NaN and infinity: in weights and statistics, in what a model returns, and where in a model they begin."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from densekd.errors import UserError

_VARIANCE = "running_var"
_STATISTICS = ("running_mean", _VARIANCE)


class NotFiniteError(UserError):
    """A model's output means nothing: it is NaN or infinite."""


def require_finite_output(values: Tensor, what: str) -> None:
    """Refuse an output that means nothing; waits for the device once.

    Args:
        values: of any shape. Minus infinity is allowed: the logit of a class that cannot be.
        what: whose it is, as the beginning of the message.

    Raises:
        NotFiniteError: NaN or infinity.
    """
    if not values.is_floating_point() or values.numel() == 0:
        return
    # The greatest value is NaN where any is, and so without a map of answers.
    if _is_sound(values.detach().amax()):
        return
    wrong = int((values.isnan() | values.isposinf()).sum())
    counted = f": {wrong} of {values.numel()} values" if values.numel() > 1 else ""
    raise NotFiniteError(f"{what} not finite (NaN or infinity){counted}.")


def _is_sound(greatest: Tensor) -> bool:
    return not bool(greatest.isnan() | greatest.isposinf())


def tensors_in(output: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested tuples, lists and mappings."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from tensors_in(list(output.values()))
    elif isinstance(output, list | tuple):
        for part in output:
            yield from tensors_in(part)


@contextmanager
def output_of(who: str, model: nn.Module | None = None) -> Iterator[None]:
    """Say whose output was not finite.

    Args:
        who: as the beginning of the message.
        model: its weights and statistics are searched for the cause.

    Raises:
        NotFiniteError: with that said.
    """
    try:
        yield
    except NotFiniteError as error:
        cause = None if model is None else first_not_finite(model)
        because = "" if cause is None else f" Its {cause}."
        raise NotFiniteError(f"{who}: {error}{because}") from error


def first_not_finite(module: nn.Module) -> str | None:
    """Name the first parameter or statistic of a model that is wrong, and how; waits for the device once.

    Parameters must be finite, running variances at least zero besides; of other buffers NaN alone is wrong.
    """
    named: list[tuple[str, str]] = []
    sound: list[Tensor] = []
    for name, parameter in module.named_parameters():
        named.append((name, "weight '{}' is not finite"))
        sound.append(parameter.detach().isfinite().all())
    for name, buffer in module.named_buffers():
        if not buffer.is_floating_point():
            continue
        last = name.rpartition(".")[2]
        named.append((name, _complaint(last)))
        sound.append(_sound_buffer(last, buffer))
    if not sound:
        return None
    # One answer for all of them; which one it is, is asked only where there is one.
    if bool(torch.stack([one.to(sound[0].device) for one in sound]).all()):
        return None
    first = next(index for index, one in enumerate(sound) if not one)
    name, complaint = named[first]
    return complaint.format(name)


def _complaint(last: str) -> str:
    if last == _VARIANCE:
        return "batch norm statistic '{}' is negative or not finite"
    return "batch norm statistic '{}' is not finite" if last in _STATISTICS else "buffer '{}' is NaN"


def _sound_buffer(last: str, buffer: Tensor) -> Tensor:
    if last == _VARIANCE:
        return (buffer.isfinite() & (buffer >= 0)).all()
    return buffer.isfinite().all() if last in _STATISTICS else ~buffer.isnan().any()


def is_negative_variance(name: str, value: Tensor) -> bool:
    """Tell whether an entry of a state dict is a running variance below zero, whose root is NaN."""
    return name.rpartition(".")[2] == _VARIANCE and value.device.type != "meta" and bool((value < 0).any())


def module_not_finite(model: nn.Module, run: Callable[[], None]) -> str | None:
    """Name the first module whose output is not finite while ``run`` runs a model; None where there is none.

    Args:
        model: hooks are on it for a while.
        run: may raise :class:`NotFiniteError`.
    """
    found: list[str] = []

    def look(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if found:
                return
            for value in tensors_in(output):
                if value.is_floating_point() and bool((value.isnan() | value.isposinf()).any()):
                    found.append(f"'{name}' ({type(module).__name__})")

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in _inner(model)]
    try:
        run()
    except NotFiniteError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _inner(model: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    """Return all modules but the model itself; what is inside answers before what is around it."""
    return [(name, module) for name, module in model.named_modules() if name]
