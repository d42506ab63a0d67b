"""Memory cache of decoded samples."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch.utils.data import get_worker_info

from densekd.data.shared_samples import SharedSamples
from densekd.hardware import forks

S = TypeVar("S", bound=tuple[Tensor, ...])


class SampleCache(Generic[S]):
    """Memory cache of decoded samples; what does not fit is decoded again.

    Of one process, or of all loading processes of a training together (:meth:`share`). What it returns
    must not be changed in place.

    Args:
        kind: makes a sample of its tensors.
        free_bytes: how much each process may keep.
    """

    def __init__(self, kind: Callable[..., S], free_bytes: int) -> None:
        self.kind = kind
        self.free_bytes = free_bytes
        self.samples: dict[int, S] = {}
        self._shared: SharedSamples | None = None

    def share(self, samples: int, processes: int) -> None:
        """Let loading processes that start after this read what any of them has kept.

        Where processes do not start by fork, or the system does not give the memory, each keeps its own.

        Args:
            samples: how many there are.
            processes: how many load.
        """
        self._shared = None
        if processes > 1 and self.free_bytes > 0 and forks():
            with suppress(OSError, OverflowError):
                self._shared = SharedSamples(samples, processes, self.free_bytes)

    def get(self, index: int, decode: Callable[[int], S]) -> S:
        """Return the kept sample, or decode it and keep it if there is room."""
        worker = get_worker_info()
        if self._shared is None or worker is None:
            return self._own(index, decode)
        kept = self._shared.get(index)
        if kept is not None:
            return self.kind(*kept)
        sample = decode(index)
        self._shared.put(index, sample, worker.id)
        return sample

    def _own(self, index: int, decode: Callable[[int], S]) -> S:
        if index in self.samples:
            return self.samples[index]
        sample = decode(index)
        size = sum(tensor.nbytes for tensor in sample)
        # First come, first kept: nothing is evicted, because every pass reads every image once.
        if size <= self.free_bytes:
            self.free_bytes -= size
            self.samples[index] = sample
        return sample

    def __getstate__(self) -> dict[str, Any]:
        """Leave shared memory out: it is handed on by fork alone."""
        return {**self.__dict__, "_shared": None}
