from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from densekd.data import cache as cache_module
from densekd.data.cache import SampleCache
from densekd.data.shared_samples import SharedSamples


def pair(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tensors


@pytest.mark.parametrize(("budget", "decoded"), [(0, [0, 1, 0, 1]), (16, [0, 1, 1]), (31, [0, 1, 1]), (32, [0, 1])])
def test_samples_are_kept_while_they_fit(budget: int, decoded: list[int]) -> None:
    read: list[int] = []

    def decode(index: int) -> tuple[Tensor, ...]:
        read.append(index)
        return torch.full((12,), index, dtype=torch.uint8), torch.zeros(4, dtype=torch.uint8)

    cache = SampleCache(pair, budget)
    for index in (0, 1, 0, 1):
        assert cache.get(index, decode)[0].eq(index).all()
    assert read == decoded
    assert cache.free_bytes == budget % 16


class Decoded(Dataset[Tensor]):
    """Images of their own number, each of whose decodings is noted in a file."""

    def __init__(self, log: Path, free_bytes: int) -> None:
        self.log = log
        self.cache = SampleCache(pair, free_bytes)

    def __getitem__(self, index: int) -> Tensor:
        return self.cache.get(index, self._decode)[0]

    def _decode(self, index: int) -> tuple[Tensor, ...]:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{index}\n")
        # As decoders give it: channels side by side.
        return torch.full((2, 3, 3), index, dtype=torch.uint8).permute(2, 0, 1), torch.tensor([[0.5, index]])


@pytest.mark.parametrize(("free_bytes", "forks", "times"), [(10**5, True, 1), (10**5, False, 2), (0, True, 3)])
def test_loading_processes_share_what_they_keep(
    free_bytes: int, forks: bool, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "forks", lambda: forks)
    data = Decoded(tmp_path / "log", free_bytes)
    data.cache.share(7, 2)
    # Of an odd number of images each is asked for by both processes in turn.
    passes = list(DataLoader(data, sampler=list(range(7)) * 3, num_workers=2, prefetch_factor=1))
    assert torch.cat(passes).flatten(1).unique(dim=1).flatten().tolist() == list(range(7)) * 3
    read = data.log.read_text().split()
    assert sorted(read) == sorted(str(index) for index in range(7) for _ in range(times))


def test_shared_samples_are_what_was_written() -> None:
    image = torch.arange(24, dtype=torch.uint8).view(2, 4, 3).permute(2, 0, 1)
    sample = (image, torch.rand(2, 4), torch.empty(0, 4), torch.tensor(7))
    shared = SharedSamples(samples=3, parts=2, part_bytes=700)
    shared.put(2, sample, part=1)
    found = shared.get(2)
    assert found is not None
    for one, other in zip(found, sample, strict=True):
        assert torch.equal(one, other)
        assert (one.dtype, one.stride()) == (other.dtype, other.stride())
    assert shared.get(0) is None
    # A part holds one of these, and what does not fit is not kept.
    shared.put(1, sample, part=1)
    assert shared.get(1) is None
