"""Memory cache of decoded samples."""

from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor

S = TypeVar("S", bound=tuple[Tensor, ...])


class SampleCache(Generic[S]):
    """Memory cache of decoded samples in one process; what does not fit is decoded again.

    Args:
        free_bytes: how much may be kept.
    """

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.samples: dict[int, S] = {}

    def get(self, index: int, decode: Callable[[int], S]) -> S:
        """Return the kept sample, or decode it and keep it if there is room."""
        if index in self.samples:
            return self.samples[index]
        sample = decode(index)
        size = sum(tensor.nbytes for tensor in sample)
        # First come, first kept: nothing is evicted, because every pass reads every image once.
        if size <= self.free_bytes:
            self.free_bytes -= size
            self.samples[index] = sample
        return sample
