"""Statistics of parts of a distribution, joined to those of the whole."""

import pytest
import torch
from kernel_cases import pair

from densekd.kernels.channel_kl import channel_kl_reference
from densekd.ops.divergence import Divergence, softmax_kl_


def test_parts_of_a_distribution_add_up() -> None:
    """Taken apart along one axis and joined again, a divergence is what it was."""
    student, teacher = (x.detach() for x in pair(torch.float64, 4, 6))
    rows = softmax_kl_(student.clone(), teacher.clone(), torch.empty_like(student), 1)
    joined = Divergence(*(x[:, 0] for x in rows)).joined(0)
    whole = channel_kl_reference(student.view(1, 1, 24), teacher.view(1, 1, 24))
    torch.testing.assert_close(joined.kl, whole[0, 0])
    torch.testing.assert_close(joined.student, student.flatten().logsumexp(0))
    torch.testing.assert_close(joined.teacher, teacher.flatten().logsumexp(0))


@pytest.mark.parametrize("dim", [0, 1])
def test_logits_become_their_softmax(dim: int) -> None:
    student, teacher = (x.detach() for x in pair(torch.float64, 4, 6))
    q, p = student.clone(), teacher.clone()
    found = softmax_kl_(q, p, torch.empty_like(q), dim)
    torch.testing.assert_close(q, student.softmax(dim))
    torch.testing.assert_close(p, teacher.softmax(dim))
    torch.testing.assert_close(found.kl, (p * (p / q).log()).sum(dim, keepdim=True))
