"""Probe of a model before it is quantized: one pass shows what reads what."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from densekd.quantize.layers import NORMS, weight_axis

# A tensor by its object and the number of its changes in place.
Key = tuple[int, int]


@dataclass
class Call:
    """One call of a module.

    Args:
        name: of the module.
        inputs: its tensors.
        output: where it returned a single tensor.
    """

    name: str
    inputs: list[Key]
    output: Key | None = None


@dataclass
class Seen:
    """What one pass through a model showed.

    Args:
        calls: of all modules, in the order in which they returned.
        makers: tensor -> the innermost module that returned it.
        reads: tensor of a layer's output -> how many operations read its memory.
        reaching: layers whose result the model's output depends on.
        last: layers whose result is the output, with no other layer in between.
    """

    calls: list[Call] = field(default_factory=list)
    makers: dict[Key, str] = field(default_factory=dict)
    reads: dict[Key, int] = field(default_factory=dict)
    reaching: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()

    def calls_of(self, name: str) -> list[Call]:
        """Return the calls of one module."""
        return [call for call in self.calls if call.name == name]


@torch.no_grad()
def probe_reads(model: nn.Module, images: Tensor) -> Seen:
    """Run a model once in evaluation mode, and note what reads what.

    Args:
        model: is not changed.
        images: float in [0, 1], ``[B, 3, H, W]``; one is enough.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        watch = _Watch()
        with _hooked(model, watch), watch:
            output = model(images)
        return watch.finish(output)
    finally:
        for module, mode in modes.items():
            module.training = mode


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follow results of layers through all operations of a pass, by the memory that they lie in."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = Seen()
        self._numbers: dict[str, int] = {}
        # Memory -> layers that it depends on, and those with no other layer in between: a bit each.
        self._origin: dict[int, int] = {}
        self._nearest: dict[int, int] = {}
        # Memory -> tensors of layers whose reads are counted.
        self._counted: dict[int, Key] = {}
        # Nothing is freed before the end, so that an address means one tensor.
        self._kept: list[Tensor] = []
        # Calls that have not returned yet.
        self._open: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        read = {_memory(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for memory in read & self._counted.keys():
            self.seen.reads[self._counted[memory]] += 1
        origin = nearest = 0
        for memory in read:
            origin |= self._origin.get(memory, 0)
            nearest |= self._nearest.get(memory, 0)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._kept.append(leaf)
                self._origin[_memory(leaf)] = origin
                self._nearest[_memory(leaf)] = nearest
        return result

    def note(self, name: str, module: nn.Module, output: Any) -> None:
        """Note a call of a module that has returned."""
        call = self._open.pop()
        if isinstance(output, Tensor):
            call.output = _key(output)
            self._kept.append(output)
            # Modules inside return before those around them.
            self.seen.makers.setdefault(call.output, name)
            if weight_axis(module) is not None:
                self._begin_layer(name, output)
        self.seen.calls.append(call)

    def begin(self, name: str, inputs: Any) -> None:
        """Note what a module is given, before it may change that in place."""
        tensors = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
        self._kept += tensors
        self._open.append(Call(name, [_key(tensor) for tensor in tensors]))

    def _begin_layer(self, name: str, output: Tensor) -> None:
        """Let a layer's result begin: what is made of it depends on this layer next."""
        number = self._numbers.setdefault(name, len(self._numbers))
        memory = _memory(output)
        self._origin[memory] = self._origin.get(memory, 0) | (1 << number)
        self._nearest[memory] = 1 << number
        self._counted[memory] = _key(output)
        self.seen.reads[_key(output)] = 0

    def finish(self, output: Any) -> Seen:
        """Return what was seen, once the model has returned ``output``."""
        origin = nearest = 0
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                origin |= self._origin.get(_memory(leaf), 0)
                nearest |= self._nearest.get(_memory(leaf), 0)
        self.seen.reaching = frozenset(name for name, number in self._numbers.items() if origin >> number & 1)
        self.seen.last = frozenset(name for name, number in self._numbers.items() if nearest >> number & 1)
        return self.seen


@contextmanager
def _hooked(model: nn.Module, watch: _Watch) -> Iterator[None]:
    """Note every call of every module by forward hooks."""
    handles = []
    for name, module in model.named_modules():

        def before(module: nn.Module, inputs: Any, kwargs: Any, name: str = name) -> None:
            watch.begin(name, (inputs, kwargs))

        def after(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            watch.note(name, module, output)

        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def is_norm(module: nn.Module) -> bool:
    """Tell whether a module is a batch norm that can be folded: one with statistics."""
    return type(module) in NORMS and getattr(module, "running_mean", None) is not None


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _key(tensor: Tensor) -> Key:
    return id(tensor), tensor._version
