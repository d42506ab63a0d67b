"""Decoded samples in memory that the loading processes of a training share."""

import json
import math
import mmap
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Where tensors begin, in bytes: for processors that read aligned words faster, or no others.
_ALIGNED = 64
# Bytes that hold the length of a sample's description.
_LENGTH = 8


class SharedSamples:
    """Memory that processes started by fork write samples into and read those of all others from, without a lock.

    It is divided into parts, one for each process that writes. Where a sample lies stands in a table,
    which is written once the sample is whole: whoever reads waits for nobody, and a process that is
    killed leaves nothing half done. Two that decode one sample at the same time both keep it.

    Args:
        samples: how many there may be.
        parts: how many processes write.
        part_bytes: what each may write; memory is taken as it is written.

    Raises:
        OSError, OverflowError: the system does not give that much.
    """

    def __init__(self, samples: int, parts: int, part_bytes: int) -> None:
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        self._memory = mmap.mmap(-1, max(1, parts * part_bytes), flags=flags)
        # One more than the place of each sample; 0: not there.
        self._places = np.frombuffer(mmap.mmap(-1, 8 * max(1, samples)), np.int64)
        self._part_bytes = part_bytes
        # Of this process alone: how much of its part it has written.
        self._written = 0
        self._order = threading.Lock()

    def get(self, index: int) -> tuple[Tensor, ...] | None:
        """Return a sample, whose tensors lie in the memory and must not be changed; None if it is not there."""
        place = int(self._places[index]) - 1
        if place < 0:
            return None
        begin = place + _LENGTH
        length = int.from_bytes(self._memory[place:begin], "little")
        described = json.loads(self._memory[begin : begin + length])
        return tuple(self._tensor(*one) for one in described)

    def put(self, index: int, sample: tuple[Tensor, ...], part: int) -> None:
        """Write a sample into a part, if there is room.

        Args:
            index: from 0, below the number of samples.
            sample: tensors on the processor.
            part: from 0; no other process writes into it.
        """
        first = part * self._part_bytes + self._written
        described, end = _described(sample, first)
        if end > (part + 1) * self._part_bytes:
            return
        text = json.dumps(described).encode()
        self._memory[first : first + _LENGTH] = len(text).to_bytes(_LENGTH, "little")
        self._memory[first + _LENGTH : first + _LENGTH + len(text)] = text
        for tensor, one in zip(sample, described, strict=True):
            self._tensor(*one).copy_(tensor)
        self._written = end - part * self._part_bytes
        # A lock that is taken and released lets every processor see the sample before its place.
        with self._order:
            pass
        self._places[index] = first + 1

    def _tensor(self, dtype: str, shape: list[int], strides: list[int], place: int) -> Tensor:
        """Return a tensor that lies at a place of the memory."""
        kind: torch.dtype = getattr(torch, dtype)
        count = math.prod(shape)
        if count == 0:
            return torch.empty(shape, dtype=kind)
        return torch.frombuffer(self._memory, dtype=kind, count=count, offset=place).as_strided(shape, strides)


def _described(sample: tuple[Tensor, ...], first: int) -> tuple[list[Any], int]:
    """Describe where the tensors of a sample will lie behind their description, and where that ends."""
    parts: list[Any] = []
    for tensor in sample:
        # Their layout is kept where its elements lie side by side in some order.
        strides = torch.empty_like(tensor, device="meta").stride()
        parts.append([str(tensor.dtype).removeprefix("torch."), list(tensor.shape), list(strides), 0])
    # The description itself is shorter than this, whatever the places are.
    end = first + _LENGTH + len(json.dumps(parts)) + 24 * len(parts)
    for part, tensor in zip(parts, sample, strict=True):
        part[-1] = -(-end // _ALIGNED) * _ALIGNED
        end = part[-1] + tensor.nbytes
    return parts, end
