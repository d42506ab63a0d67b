"""Channels gathered into groups and scattered back."""

import pytest
import torch
from kernel_cases import GROUPS, ORDER, pair

from densekd.kernels.channel_kl import channel_kl_reference
from densekd.ops.divergence import Divergence, softmax_kl_
from densekd.ops.groups import Groups


def test_the_last_group_is_padded() -> None:
    x = torch.arange(7)[None]
    assert Groups(3).gathered(x, -1).tolist() == [[[0, 1, 2], [3, 4, 5], [6, -1, -1]]]
    assert Groups(3, ORDER).gathered(x, -1).tolist() == [[[3, 0, 6], [5, 1, 4], [2, -1, -1]]]


@pytest.mark.parametrize("groups", GROUPS, ids=["1", "3", "3 permuted", "all", "more than all"])
def test_scattered_is_the_inverse(groups: Groups) -> None:
    x = torch.arange(14).view(2, 7)
    assert torch.equal(groups.scattered(groups.gathered(x, -1), 7), x)


@pytest.mark.parametrize("groups", GROUPS, ids=["1", "3", "3 permuted", "all", "more than all"])
def test_the_summands_of_a_group_are_its_divergence(groups: Groups) -> None:
    student, teacher = (x.detach() for x in pair(torch.float64, 2, 7, 5))
    parts = softmax_kl_(student.clone(), teacher.clone(), torch.empty_like(student), 2)
    summands, group = groups.summands(Divergence(*(x[..., 0] for x in parts)))
    wanted = channel_kl_reference(student, teacher, 1.0, groups)
    torch.testing.assert_close(groups.gathered(summands, 0.0).sum(2), wanted)
    # Every channel of a group has the group's log-sum-exp.
    members = groups.gathered(student.logsumexp(2), -1e30).logsumexp(2)
    torch.testing.assert_close(groups.gathered(group.student, 0.0)[:, :, 0], members)
