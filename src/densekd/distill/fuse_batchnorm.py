"""Batch norms of a frozen model, folded into the convolutions before them where that is surely the same function."""

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
# How often a norm reads each of its parameters in one call, where that is not once: reshaped, then used.
_READS = {FrozenBatchNorm2d: 2}
# Share of a tensor's largest value: far above what rounding does, far below what a wrong fold would.
_TOLERANCE = 1e-3


class TapPair(NamedTuple):
    """A convolution and the norm that it alone feeds."""

    conv: Any
    norm: Any


@torch.no_grad()
def fold_batch_norms(model: nn.Module, paths: Iterable[str], images: Tensor) -> int:
    """Fold batch norms into convolutions, in place, and return how many.

    One pass shows what reads what: a norm is folded if one convolution alone feeds it, nothing else reads that
    convolution's output (no operation, no tap, not the caller), and nothing else reads the parameters of the two. A
    model that cannot be watched, or whose taps or output then differ by more than rounding, stays as it was.

    Args:
        model: float32, in evaluation mode.
        paths: the taps that will be read, see :class:`densekd.distill.taps.Taps`.
        images: of the size that the model will see, ``[B, 3, H, W]``; one is enough.
    """
    undo: list[tuple[dict[str, Any], str, Any]] = []
    try:
        taps = Taps(model, paths)
        with _watching(model) as watch:
            before = taps(images)
        pairs = watch.pairs()
        for pair in pairs:
            _fold(model, pair, undo)
        same = _same(before, taps(images))
    except Exception:  # whatever a model does that we did not foresee: unfolded it still runs
        same = False
    if same:
        return len(pairs)
    for place, name, value in reversed(undo):
        place[name] = value
    return 0


@dataclass
class _Use:
    """How many operations have read a storage, and whether it still exists."""

    reads: int = 0
    alive: bool = True

    def die(self) -> None:
        self.alive = False


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count what operations read: outputs of convolutions, and parameters of convolutions and norms."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._uses: dict[int, _Use] = {}
        self.own = {m: [self.watch(p) for p in _state(m)] for m in model.modules() if _is_plain(m)}
        self.outputs: dict[nn.Module, list[_Use]] = {m: [] for m in self.own if type(m) in _CONVOLUTIONS}
        self.inputs: dict[nn.Module, list[_Use | None]] = {m: [] for m in self.own if type(m) in _NORMS}

    def watch(self, x: Tensor) -> _Use:
        """Begin to count the reads of a tensor's storage."""
        storage = x.untyped_storage()
        key = storage._cdata
        if key not in self._uses:
            self._uses[key] = _Use()
            weakref.finalize(storage, self._forget, key)
        return self._uses[key]

    def before(self, norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Note what a norm is given."""
        key = inputs[0].untyped_storage()._cdata if len(inputs) == 1 and isinstance(inputs[0], Tensor) else None
        self.inputs[norm].append(self._uses.get(key) if key is not None else None)

    def behind(self, conv: nn.Module, inputs: Any, output: Tensor) -> None:
        """Note what a convolution returns."""
        self.outputs[conv].append(self.watch(output))

    def pairs(self) -> list[TapPair]:
        """Return what may be folded. What is alive now has left the model: it is returned, tapped or kept."""
        return [
            TapPair(conv, norm)
            for norm, given in self.inputs.items()
            for conv, gave in self.outputs.items()
            if given
            and len(given) == len(gave)
            and all(a is b and b.reads == 1 and not b.alive for a, b in zip(given, gave, strict=True))
            and all(use.reads == len(gave) for use in self.own[conv])
            and all(use.reads == len(given) * _READS.get(type(norm), 1) for use in self.own[norm])
        ]

    def _forget(self, key: int) -> None:
        self._uses.pop(key).die()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        storages = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for key in storages & self._uses.keys():
            self._uses[key].reads += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def _watching(model: nn.Module) -> Iterator[_Watch]:
    watch = _Watch(model)
    handles = [conv.register_forward_hook(watch.behind) for conv in watch.outputs]
    handles += [norm.register_forward_pre_hook(watch.before) for norm in watch.inputs]
    try:
        with watch:
            yield watch
    finally:
        for handle in handles:
            handle.remove()


def _is_plain(module: nn.Module) -> bool:
    """Say whether a module is a convolution or a norm that does what its type says."""
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return False
    if type(module) in _CONVOLUTIONS:
        return True
    return type(module) in _NORMS and not module.training and getattr(module, "running_mean", None) is not None


def _state(module: nn.Module) -> list[Tensor]:
    names = ("weight", "bias", "running_mean", "running_var")
    return [x for x in (getattr(module, name, None) for name in names) if x is not None]


def _fold(model: nn.Module, pair: TapPair, undo: list[tuple[dict[str, Any], str, Any]]) -> None:
    """Let the convolution do what both did, computed in float64, and note how to take it back."""
    conv, norm = pair
    mean, var = norm.running_mean.double(), norm.running_var.double()
    scale = (1.0 if norm.weight is None else norm.weight.double()) / (var + norm.eps).sqrt()
    shift = (0.0 if norm.bias is None else norm.bias.double()) - mean * scale
    bias = shift if conv.bias is None else conv.bias.double() * scale + shift
    weight = conv.weight.double() * scale.view(-1, 1, 1, 1)

    def put(place: dict[str, Any], name: str, value: Any) -> None:
        undo.append((place, name, place[name]))
        place[name] = value

    layout = {"dtype": conv.weight.dtype, "memory_format": torch.preserve_format}
    put(conv._parameters, "weight", nn.Parameter(weight.to(**layout), requires_grad=False))
    put(conv._parameters, "bias", nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False))
    rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is norm:
                put(parent._modules, name, rest.eval())


def _same(before: Any, after: Any) -> bool:
    pairs = zip(tree_leaves(before), tree_leaves(after), strict=True)
    return all(_close(a, b) for a, b in pairs if isinstance(a, Tensor) and a.is_floating_point())


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= _TOLERANCE * a.abs().max())
