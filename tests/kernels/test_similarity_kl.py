"""The blockwise kernel against all similarities at once."""

from typing import Any

import pytest
import torch
from kernel_cases import COMPILES
from torch import Tensor

from densekd.kernels import similarity_kl as kernel
from densekd.kernels.similarity_kl import similarity_kl, similarity_kl_reference

Rows = tuple[Tensor, Tensor]


def problem(batch: int, rows: int, banks: int, slots: int) -> tuple[Rows, Rows, Tensor]:
    """Return (rows, bank) of a student with 3 and a teacher with 4 numbers per vector, and weights, one of them 0."""
    generator = torch.Generator().manual_seed(batch + rows + banks + slots)
    s, S, t, T = (
        torch.randn(*size, generator=generator, dtype=torch.float64)
        for size in ((batch, rows, 3), (banks, slots, 3), (batch, rows, 4), (banks, slots, 4))
    )
    weight = torch.rand(batch, rows, generator=generator, dtype=torch.float64)
    weight[0, 0] = 0
    return (s.requires_grad_(), S.requires_grad_()), (t, T), weight


@pytest.mark.parametrize("numel", [1, 7, 20, 1 << 22])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 5, 3, 7), (1, 8, 1, 4), (3, 4, 3, 1)], ids=str)
def test_equals_the_reference_in_blocks_of_any_size(
    sizes: tuple[int, int, int, int], numel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "_BLOCK_NUMEL", numel)
    student, teacher, weight = problem(*sizes)
    ours = similarity_kl(student, teacher, weight, 0.3)
    plain = similarity_kl_reference(student, teacher, weight, 0.3)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(*(torch.autograd.grad(2 * x, student) for x in (ours, plain)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_a_bank_of_its_own_rows_gets_both_gradients() -> None:
    (s, _), (t, _), weight = problem(2, 5, 1, 1)
    ours, plain = (f((s, s), (t, t), weight, 0.5) for f in (similarity_kl, similarity_kl_reference))
    torch.testing.assert_close(*(torch.autograd.grad(x, s)[0] for x in (ours, plain)))
    assert torch.autograd.gradcheck(lambda x: similarity_kl((x, x), (t, t), weight, 0.5), s)


def test_a_bank_without_gradient_and_transposed_rows() -> None:
    (s, S), (t, T), weight = problem(2, 5, 3, 7)
    turned = s.detach().mT.contiguous().mT.requires_grad_()
    assert not turned.is_contiguous()
    args: Any = ((t, T), weight, 0.5)
    ours, plain = similarity_kl((turned, S.detach()), *args), similarity_kl_reference((s, S), *args)
    torch.testing.assert_close(torch.autograd.grad(ours, turned)[0], torch.autograd.grad(plain, s)[0])


def test_rows_of_weight_zero_have_no_gradient() -> None:
    student, teacher, weight = problem(2, 5, 3, 7)
    (gradient, _) = torch.autograd.grad(similarity_kl(student, teacher, weight, 0.5), student)
    assert gradient[0, 0].abs().max() == 0
    assert gradient[0, 1].abs().min() > 0


def test_far_apart_distributions_are_finite() -> None:
    student, teacher, weight = problem(1, 4, 1, 5)
    student = (student[0].float(), student[1].float())
    value = similarity_kl(student, (1e3 * teacher[0].float(), teacher[1].float()), weight.float(), 0.01)
    assert value.isfinite()
    assert torch.autograd.grad(value, student)[0].isfinite().all()


@COMPILES
def test_compiles_as_one_graph() -> None:
    student, teacher, weight = problem(2, 5, 3, 7)
    compiled = torch.compile(similarity_kl, fullgraph=True, backend="aot_eager")
    ours, eager = (f(student, teacher, weight, 0.5) for f in (compiled, similarity_kl))
    for mine, theirs in zip(*(torch.autograd.grad(x, student) for x in (ours, eager)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_there_is_no_second_derivative() -> None:
    student, teacher, weight = problem(1, 4, 1, 5)
    with pytest.raises(NotImplementedError, match="second derivative"):
        torch.autograd.grad(similarity_kl(student, teacher, weight, 0.5), student, create_graph=True)
