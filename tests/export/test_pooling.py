"""Fixed matrices compute what adaptive pooling does."""

import pytest
import torch
from torch import nn

from densekd.export.pooling import FixedPooling, fix_pooling
from densekd.models.blocks import average_cells


@pytest.mark.parametrize("cells", [1, 2, 3, 6, (2, 5), (1, 3)])
def test_pooling_becomes_a_product(cells: int | tuple[int, int]) -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.AdaptiveAvgPool2d(cells)))
    maps = torch.rand(2, 3, 13, 17)
    wanted = model(maps)
    fix_pooling(model)
    assert not any(isinstance(part, nn.AdaptiveAvgPool2d) for part in model.modules())
    torch.testing.assert_close(model(maps), wanted, rtol=0, atol=1e-6)


def test_one_side_that_stays_is_left() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d((None, 1)))
    fix_pooling(model)
    assert not isinstance(model[0], FixedPooling)
    assert model(torch.rand(1, 2, 5, 7)).shape == (1, 2, 5, 1)


@pytest.mark.parametrize("cells", [1, 2, 3, 6])
def test_means_of_integers_are_rounded_once(cells: int) -> None:
    """A mean between two integers is just that, whatever the number of values in a cell."""
    torch.manual_seed(0)
    maps = torch.randint(0, 256, (8, 64, 6, 7)).float()
    model = nn.Sequential(nn.AdaptiveAvgPool2d(cells))
    fix_pooling(model, exact=True)
    wanted = nn.AdaptiveAvgPool2d(cells)(maps.double())
    assert torch.equal(model(maps), wanted.float())
    assert torch.equal(average_cells(maps, cells, exact=True), wanted.float())
