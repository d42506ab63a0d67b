"""Permutations from seeds: each is one, all are as likely, and the seed alone decides."""

import torch
import torch.nn.functional as F

from densekd.ops.permutations import permutations


def test_permutations_are_permutations_and_fair() -> None:
    drawn = permutations(10, torch.arange(4000) + 2**31 - 5)
    assert (drawn.sort(1).values == torch.arange(10)).all()
    share = F.one_hot(drawn, 10).float().mean(0)
    # Every number in every place 4000 / 10 times, give or take five standard deviations.
    assert (share - 0.1).abs().max().item() < 5 * (0.09 / 4000) ** 0.5
    torch.testing.assert_close(permutations(10, torch.arange(4) + 2**31 - 5), drawn[:4])
