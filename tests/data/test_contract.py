"""A part of a split."""

from dataclasses import dataclass
from typing import Any

import pytest

from densekd.data.contract import subset


@dataclass(frozen=True)
class Numbers:
    items: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.items)


@pytest.mark.parametrize("images", [1, 5, 32, 33, 48, 63, 64, 1000])
def test_a_sample_is_spread_over_the_whole_split(images: int) -> None:
    files: Any = Numbers(tuple(range(images)))
    chosen = subset(files, 32).items
    assert len(chosen) == min(32, images)
    gaps = [after - before for before, after in zip(chosen, [*chosen[1:], images], strict=True)]
    # Evenly: no two gaps differ by more than one image.
    assert max(gaps, default=0) - min(gaps, default=0) <= 1
    assert chosen[:1] == files.items[:1]
