"""Batch norm fusion: batch norms of a frozen model are folded into the convolutions before them.

Only where that is surely the same function: one pass of the model shows which operation reads what.
"""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import FrozenBatchNorm2d

from densekd.distill.taps import Taps
from densekd.models.blocks import JoinedConv2d

# Exactly these types: a subclass may do anything with its weight.
_CONVOLUTIONS = (nn.Conv2d, Conv2dSame, JoinedConv2d)
_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, BatchNormAct2d, FrozenBatchNorm2d)
# How often a norm reads each of its parameters in one call, where that is not once: reshaped, then
# used.
_READS = {FrozenBatchNorm2d: 2}
# Share of a tensor's largest value: far above what rounding does, far below what a wrong fusion
# would.
_TOLERANCE = 1e-3


class ConvNorm(NamedTuple):
    """A convolution and the norm that it alone feeds."""

    conv: Any
    norm: Any


class _Change(NamedTuple):
    """An entry of a module's parameters or children, and what it was before."""

    place: dict[str, Any]
    name: str
    before: Any


@torch.no_grad()
def fuse_batch_norms(model: nn.Module, paths: Iterable[str], images: Tensor) -> int:
    """Fuse batch norms into convolutions, in place, and return how many.

    One pass shows what reads what: a norm is fused if one convolution alone feeds it, nothing else
    reads that convolution's output (no operation, no tap, not the caller), and nothing else reads
    the parameters of the two. A model that cannot be watched, or whose taps or output then differ
    by more than rounding, stays as it was.

    Args:
        model: float32, in evaluation mode.
        paths: the taps that will be read, see :class:`densekd.distill.taps.Taps`.
        images: ``[B, 3, H, W]``, on which the model runs the same modules as it will later; one is
            enough.
    """
    changes: list[_Change] = []
    try:
        taps = Taps(model, paths)
        with _watching(model) as watch:
            if not watch.inputs:
                return 0
            before = taps(images)
        pairs = watch.pairs()
        for pair in pairs:
            _fuse(model, pair, changes)
        # The proof: the same images give the same taps and output.
        same = _all_close(before, taps(images))
    except Exception:
        # Whatever a model does that we did not foresee: as it was it still runs.
        same = False
    if same:
        return len(pairs)
    for change in reversed(changes):
        change.place[change.name] = change.before
    return 0


@dataclass
class _Use:
    """How many operations have read a storage, and whether it still exists."""

    reads: int = 0
    alive: bool = True

    def die(self) -> None:
        self.alive = False


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count reads: of convolutions' outputs, and of the parameters of convolutions and norms."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._uses: dict[int, _Use] = {}
        # Of each convolution and norm, the uses of its own parameters and statistics.
        self.own: dict[nn.Module, list[_Use]] = {}
        # Of each convolution what it returned, and of each norm what it was given, call by call.
        self.outputs: dict[nn.Module, list[_Use]] = {}
        self.inputs: dict[nn.Module, list[_Use | None]] = {}
        for module in model.modules():
            if not _is_plain(module):
                continue
            self.own[module] = [self.watch(tensor) for tensor in _state(module)]
            if type(module) in _CONVOLUTIONS:
                self.outputs[module] = []
            else:
                self.inputs[module] = []

    def watch(self, x: Tensor) -> _Use:
        """Begin to count the reads of a tensor's storage."""
        storage = x.untyped_storage()
        key = storage._cdata
        if key not in self._uses:
            self._uses[key] = _Use()
            weakref.finalize(storage, self._forget, key)
        return self._uses[key]

    def note_input(self, norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Note what a norm is given; None for anything but the output of a convolution."""
        use = None
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            use = self._uses.get(inputs[0].untyped_storage()._cdata)
        self.inputs[norm].append(use)

    def note_output(self, conv: nn.Module, inputs: Any, output: Tensor) -> None:
        """Note what a convolution returns."""
        self.outputs[conv].append(self.watch(output))

    def pairs(self) -> list[ConvNorm]:
        """Return what may be fused."""
        pairs = []
        for norm in self.inputs:
            for conv in self.outputs:
                if self._feeds_alone(conv, norm) and self._owns_alone(conv, norm):
                    pairs.append(ConvNorm(conv, norm))
        return pairs

    def _feeds_alone(self, conv: nn.Module, norm: nn.Module) -> bool:
        """Tell whether every output of a convolution goes to one norm, and nowhere else."""
        given, returned = self.inputs[norm], self.outputs[conv]
        if not given or len(given) != len(returned):
            return False
        for use, output in zip(given, returned, strict=True):
            # What is alive after the pass has left the model: it was returned, tapped or kept.
            if use is not output or output.reads != 1 or output.alive:
                return False
        return True

    def _owns_alone(self, conv: nn.Module, norm: nn.Module) -> bool:
        """Tell whether nothing but the two themselves reads their parameters and statistics."""
        calls = len(self.inputs[norm])
        reads_of_norm = calls * _READS.get(type(norm), 1)
        conv_alone = all(use.reads == calls for use in self.own[conv])
        return conv_alone and all(use.reads == reads_of_norm for use in self.own[norm])

    def _forget(self, key: int) -> None:
        self._uses.pop(key).die()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        storages = set()
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                storages.add(leaf.untyped_storage()._cdata)
        # An operation that reads a storage twice counts once.
        for key in storages & self._uses.keys():
            self._uses[key].reads += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def _watching(model: nn.Module) -> Iterator[_Watch]:
    """Watch all operations of a model, and its convolutions and norms by forward hooks."""
    watch = _Watch(model)
    handles = [conv.register_forward_hook(watch.note_output) for conv in watch.outputs]
    handles += [norm.register_forward_pre_hook(watch.note_input) for norm in watch.inputs]
    try:
        with watch:
            yield watch
    finally:
        for handle in handles:
            handle.remove()


def _is_plain(module: nn.Module) -> bool:
    """Tell whether a module is a convolution or a norm that does what its type says."""
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return False
    if type(module) in _CONVOLUTIONS:
        return True
    # A norm in training mode, or without statistics, depends on the batch.
    has_statistics = getattr(module, "running_mean", None) is not None
    return type(module) in _NORMS and not module.training and has_statistics


def _state(module: nn.Module) -> list[Tensor]:
    """Return the parameters and statistics that a convolution or norm has."""
    found = []
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(module, name, None)
        if tensor is not None:
            found.append(tensor)
    return found


def _fuse(model: nn.Module, pair: ConvNorm, changes: list[_Change]) -> None:
    """Let the convolution do what both did, computed in float64, and note how to take it back."""
    conv, norm = pair
    mean = norm.running_mean.double()
    var = norm.running_var.double()
    # A norm is x * scale + shift for each channel ...
    gain = 1.0 if norm.weight is None else norm.weight.double()
    offset = 0.0 if norm.bias is None else norm.bias.double()
    scale = gain / (var + norm.eps).sqrt()
    shift = offset - mean * scale
    # ... which scales the rows of the convolution's weight and moves its bias.
    weight = conv.weight.double() * scale.view(-1, 1, 1, 1)
    bias = shift if conv.bias is None else conv.bias.double() * scale + shift

    def put(place: dict[str, Any], name: str, value: Any) -> None:
        changes.append(_Change(place, name, place[name]))
        place[name] = value

    layout = {"dtype": conv.weight.dtype, "memory_format": torch.preserve_format}
    put(conv._parameters, "weight", nn.Parameter(weight.to(**layout), requires_grad=False))
    put(conv._parameters, "bias", nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False))
    # The norm's place takes what else it did: timm's has an activation inside.
    rest: nn.Module = nn.Identity()
    if isinstance(norm, BatchNormAct2d):
        rest = nn.Sequential(norm.drop, norm.act)
    rest.eval()
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is norm:
                put(parent._modules, name, rest)


def _all_close(before: Any, after: Any) -> bool:
    """Tell whether all floating point tensors of two structures are equal but for rounding."""
    for a, b in zip(tree_leaves(before), tree_leaves(after), strict=True):
        if isinstance(a, Tensor) and a.is_floating_point() and not _close(a, b):
            return False
    return True


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return bool((a - b).abs().max() <= _TOLERANCE * a.abs().max())
