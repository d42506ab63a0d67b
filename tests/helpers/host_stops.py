"""Count the moments in which a step would make the host wait for a GPU, on a machine that has none."""

from collections import Counter
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Operations whose result is a number of the host, or a tensor whose size depends on values.
_ALWAYS = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nms",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
    "_unique2",
}
# Data of the host becomes a tensor: a copy to the device, from memory that is not pinned.
_FROM_HOST = {"lift_fresh", "lift_fresh_copy"}
# Indices that may be boolean.
_INDEXED = {"index", "index_put", "index_put_", "_unsafe_index_put", "_index_put_impl_"}


class HostStops(TorchDispatchMode):
    """Count host stops by operation, forward and backward, while the block runs.

    On a GPU every one of them empties its queue. What is counted is what the operations are, so that the count is
    the same on the processor; copies between devices are counted where there are any.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _ALWAYS or name in _FROM_HOST or self._is_boolean(name, args) or self._moves(name, args, kwargs):
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]

    @staticmethod
    def _is_boolean(name: str, args: Any) -> bool:
        if name not in _INDEXED:
            return False
        indices = [index for index in args[1] if isinstance(index, Tensor)]
        return any(index.dtype in (torch.bool, torch.uint8) for index in indices)

    @staticmethod
    def _moves(name: str, args: Any, kwargs: Any) -> bool:
        """Tell whether a copy goes to the host; from pinned memory to a device nobody waits."""
        if name == "_to_copy":
            wanted = (kwargs or {}).get("device")
            return wanted is not None and torch.device(wanted).type == "cpu" and args[0].device.type != "cpu"
        return name == "copy_" and args[0].device.type == "cpu" and args[1].device.type != "cpu"
