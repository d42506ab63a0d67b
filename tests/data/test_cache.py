import pytest
import torch
from torch import Tensor

from densekd.data.cache import SampleCache


@pytest.mark.parametrize(("budget", "decoded"), [(0, [0, 1, 0, 1]), (16, [0, 1, 1]), (31, [0, 1, 1]), (32, [0, 1])])
def test_samples_are_kept_while_they_fit(budget: int, decoded: list[int]) -> None:
    read: list[int] = []

    def decode(index: int) -> tuple[Tensor, Tensor]:
        read.append(index)
        return torch.full((12,), index, dtype=torch.uint8), torch.zeros(4, dtype=torch.uint8)

    cache: SampleCache[tuple[Tensor, Tensor]] = SampleCache(budget)
    for index in (0, 1, 0, 1):
        assert cache.get(index, decode)[0].eq(index).all()
    assert read == decoded
    assert cache.free_bytes == budget % 16
