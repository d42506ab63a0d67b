"""KL divergence between similarities to a memory bank (CIRKD), without holding the similarities."""

# B batch, N rows of an image, R rows of a block, G banks, M slots of a bank
# D, D' dimensions of the student's and the teacher's vectors
# s, t similarities [R, M] over the temperature; q, p their softmax; grad by s = weight * (q - p)

import torch
from torch import Tensor

from densekd.kernels.dispatch import kernel
from densekd.kernels.softmax_kl import softmax_kl
from densekd.ops.attach_grad import attach_grad

# Similarities of one model that exist at a time.
_BLOCK_NUMEL = 1 << 22


def similarity_kl_reference(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], weight: Tensor, temperature: float
) -> Tensor:
    """Compute :func:`similarity_kl` with all similarities ``[B, N, G, M]`` in memory."""
    s = torch.einsum("bnd,gmd->bngm", *student) / temperature
    t = torch.einsum("bnd,gmd->bngm", *teacher) / temperature
    return (softmax_kl(s, t, dim=3).sum(2) * weight).sum()


@kernel(similarity_kl_reference)
def similarity_kl(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], weight: Tensor, temperature: float
) -> Tensor:
    """Weighted sum of the KL between student's and teacher's similarities of rows to banks.

    ``sum_{b,n,g} weight_bn KL(softmax_M(t_bn . T_g / tau) || softmax_M(s_bn . S_g / tau))`` with
    tau the temperature.

    Works through blocks of rows and takes the gradient in the same pass, so the similarities are
    computed once and no more than a block of them is in memory. The teacher receives no gradient;
    there is no second derivative.

    Args:
        student: rows ``s [B, N, D]`` and banks ``S [G, M, D]``, float32 or float64.
        teacher: rows ``t [B, N, D']`` and banks ``T [G, M, D']``; ``D'`` may differ from ``D``.
        weight: ``[B, N]``, without gradient; a row of weight 0 is left out.
        temperature: positive divisor of the similarities.

    Returns:
        A scalar in nats, >= 0 for weights >= 0.
    """
    rows, bank = student
    bank_learns = bank.requires_grad
    with torch.no_grad():
        value, rows_grad, bank_grad = _fused(rows, bank, *teacher, weight, temperature, bank_learns)
        if rows is bank and bank_learns:
            # One tensor in both roles gets the sum of both gradients.
            rows_grad.add_(bank_grad)
            bank_learns = False
    value = attach_grad(value, rows, rows_grad)
    if bank_learns:
        value = attach_grad(value, bank, bank_grad)
    return value


@torch.library.custom_op("densekd::similarity_kl", mutates_args=())
def _fused(
    rows: Tensor,
    bank: Tensor,
    teacher_rows: Tensor,
    teacher_bank: Tensor,
    weight: Tensor,
    temperature: float,
    bank_learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the value and its gradients by ``rows`` and, where ``bank_learns``, by ``bank``."""
    value = rows.new_zeros(())
    rows_grad = torch.zeros_like(rows)
    bank_grad = _bank_grad_like(bank, bank_learns).zero_()
    size = max(1, _BLOCK_NUMEL // bank.shape[1])
    for b in range(rows.shape[0]):
        for first in range(0, rows.shape[1], size):
            block = slice(first, first + size)
            # [R, 1]
            w = weight[b, block, None]
            for g in range(bank.shape[0]):
                # Log-softmax of both models' similarities to the slots, [R, M].
                s = (rows[b, block] @ bank[g].T).div_(temperature)
                t = (teacher_rows[b, block] @ teacher_bank[g].T).div_(temperature)
                log_q = s.log_softmax(1)
                log_p = t.log_softmax(1)
                # Divergence of each row.
                p = log_p.exp()
                value += (log_p.sub_(log_q).mul_(p).sum(1, keepdim=True) * w).sum()
                # Gradient by the similarities, then by what was multiplied.
                s_grad = log_q.exp_().sub_(p).mul_(w / temperature)
                rows_grad[b, block] += s_grad @ bank[g]
                if bank_learns:
                    bank_grad[g] += s_grad.T @ rows[b, block]
    return value, rows_grad, bank_grad


@_fused.register_fake
def _fused_fake(
    rows: Tensor,
    bank: Tensor,
    teacher_rows: Tensor,
    teacher_bank: Tensor,
    weight: Tensor,
    temperature: float,
    bank_learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return rows.new_empty(()), torch.empty_like(rows), _bank_grad_like(bank, bank_learns)


def _bank_grad_like(bank: Tensor, bank_learns: bool) -> Tensor:
    return torch.empty_like(bank) if bank_learns else bank.new_empty(0)
