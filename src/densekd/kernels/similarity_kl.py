"""Kullback-Leibler divergence between softmaxed similarities to a bank, without holding the similarities."""

from itertools import product

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad
from densekd.kernels.choice import kernel
from densekd.kernels.softmax_kl import softmax_kl

_HELD = 1 << 22  # similarities of one model that exist at a time


def similarity_kl_reference(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], weight: Tensor, temperature: float
) -> Tensor:
    """Compute :func:`similarity_kl` with all similarities in memory."""
    s, t = (torch.einsum("bnd,gmd->bngm", rows, bank) / temperature for rows, bank in (student, teacher))
    return (softmax_kl(s, t, dim=3).sum(2) * weight).sum()


@kernel(similarity_kl_reference)
def similarity_kl(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], weight: Tensor, temperature: float
) -> Tensor:
    """Weigh and sum, over all rows and all banks, how differently student and teacher compare the row with the bank.

    ``sum_{b,n,g} weight_bn KL(softmax_M(t_bn . T_g / temperature) || softmax_M(s_bn . S_g / temperature))``.

    Works through blocks of rows and takes the gradient in the same pass, so the similarities are computed once and
    no more than a block of them is in memory. The teacher receives no gradient; there is no second derivative.

    Args:
        student: rows ``s [B, N, D]`` and banks ``S [G, M, D]``, float32 or float64.
        teacher: rows ``t [B, N, D']`` and banks ``T [G, M, D']``; ``D'`` may differ from ``D``.
        weight: ``[B, N]``, without gradient; a row of weight 0 is left out.
        temperature: positive divisor of the similarities.

    Returns:
        A scalar in nats, >= 0 for weights >= 0.
    """
    rows, bank = student
    learns = bank.requires_grad
    with torch.no_grad():
        value, by_rows, by_bank = _fused(rows, bank, *teacher, weight, temperature, learns)
        if rows is bank and learns:
            by_rows, learns = by_rows.add_(by_bank), False
    value = attach_grad(value, rows, by_rows)
    return attach_grad(value, bank, by_bank) if learns else value


@torch.library.custom_op("densekd::similarity_kl", mutates_args=())
def _fused(
    rows: Tensor, bank: Tensor, teacher_rows: Tensor, teacher_bank: Tensor, weight: Tensor, t: float, learns: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the value and its derivatives by ``rows`` and, where it ``learns``, by ``bank``."""
    value, d_rows, d_bank = rows.new_zeros(()), torch.zeros_like(rows), _like(bank, learns).zero_()
    step = max(1, _HELD // bank.shape[1])
    blocks = [(b, slice(n, n + step)) for b in range(len(rows)) for n in range(0, rows.shape[1], step)]
    for (b, part), g in product(blocks, range(len(bank))):
        log_s = (rows[b, part] @ bank[g].T).div_(t).log_softmax(1)
        log_t = (teacher_rows[b, part] @ teacher_bank[g].T).div_(t).log_softmax(1)
        p_t, w = log_t.exp(), weight[b, part, None]
        value += (log_t.sub_(log_s).mul_(p_t).sum(1, keepdim=True) * w).sum()
        # The derivative of the divergence by the student's logits is the difference of the distributions.
        difference = log_s.exp_().sub_(p_t).mul_(w / t)
        d_rows[b, part] += difference @ bank[g]
        if learns:
            d_bank[g] += difference.T @ rows[b, part]
    return value, d_rows, d_bank


@_fused.register_fake
def _(
    rows: Tensor, bank: Tensor, teacher_rows: Tensor, teacher_bank: Tensor, weight: Tensor, t: float, learns: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return rows.new_empty(()), torch.empty_like(rows), _like(bank, learns)


def _like(bank: Tensor, learns: bool) -> Tensor:
    return torch.empty_like(bank) if learns else bank.new_empty(0)
