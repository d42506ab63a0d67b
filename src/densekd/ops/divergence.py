"""KL divergence of softmax distributions that are computed part by part, and its chain rule.

A block of a distribution yields three numbers: the divergence within the block and the log-sum-exp
of both models' logits. Blocks are joined without reading the logits again, which is the online
softmax of blocked kernels.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Divergence(NamedTuple):
    """Statistics of one part of a student's and a teacher's distribution.

    Args:
        kl: KL(teacher || student) within the part, in nats.
        student: log-sum-exp of the student's logits over the part.
        teacher: the same of the teacher's.
    """

    kl: Tensor
    student: Tensor
    teacher: Tensor

    def summands(self, dim: int) -> Tensor:
        """Return what each part along ``dim`` adds to the divergence of the joint distribution.

        By the chain rule ``KL = sum_k P_k (KL_k + log P_k - log Q_k)``, with P_k and Q_k the
        probability of part k.
        """
        log_p = self.teacher.log_softmax(dim)
        log_q = self.student.log_softmax(dim)
        return log_p.exp() * (self.kl + log_p - log_q)

    def joined(self, dim: int) -> "Divergence":
        """Return the statistics of all parts along ``dim`` together."""
        kl = self.summands(dim).sum(dim)
        return Divergence(kl, self.student.logsumexp(dim), self.teacher.logsumexp(dim))


def softmax_kl_(student: Tensor, teacher: Tensor, scratch: Tensor, dim: int) -> Divergence:
    """Replace logits by their softmax along ``dim``, in place, and return their divergence.

    Args:
        student: finite logits, divided by the temperature; becomes q.
        teacher: the same shape and precision; becomes p.
        scratch: the same shape and precision; overwritten.
        dim: the axis of the distributions; kept with length one in the result.
    """
    # Subtract the maxima, so that no exponential overflows and equal maps differ by exactly 0.
    s_max = student.amax(dim, keepdim=True)
    t_max = teacher.amax(dim, keepdim=True)
    torch.sub(teacher.sub_(t_max), student.sub_(s_max), out=scratch)
    torch.softmax(student, dim, out=student)
    torch.softmax(teacher, dim, out=teacher)
    # The largest probability belongs to the logit 0: the log-sum-exp is minus its logarithm.
    s_lse = -student.amax(dim, keepdim=True).log()
    t_lse = -teacher.amax(dim, keepdim=True).log()
    # KL = sum p (t - s) + lse(s) - lse(t)
    kl = scratch.mul_(teacher).sum(dim, keepdim=True) + (s_lse - t_lse)
    return Divergence(kl.clamp_(min=0), s_max + s_lse, t_max + t_lse)
