"""The fused correlation agrees with its plain version, value and gradient."""

import pytest
import torch

from densekd.kernels.pearson import pearson, pearson_reference

DIMS = pytest.mark.parametrize("dims", [(1,), (0,), (0, 2, 3)], ids=str)


@DIMS
def test_agrees_with_the_reference(dims: tuple[int, ...]) -> None:
    student, teacher = torch.randn(3, 5, 4, 6, dtype=torch.float64), torch.randn(3, 5, 4, 6, dtype=torch.float64)
    student.requires_grad_()
    (ours,), plain = pearson(student, teacher, dims), pearson_reference(student, teacher, dims)
    weights = torch.randn(plain.shape, dtype=torch.float64)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-14)
    (gradient,) = torch.autograd.grad((ours * weights).sum(), student)
    (wanted,) = torch.autograd.grad((plain * weights).sum(), student)
    torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-14)


@DIMS
def test_gradcheck(dims: tuple[int, ...]) -> None:
    student, teacher = torch.randn(2, 3, 2, 2, dtype=torch.float64), torch.randn(2, 3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: pearson(s, teacher, dims), student.requires_grad_())


def test_several_sets_of_axes_at_once() -> None:
    student, teacher = torch.randn(3, 5, 4, 6, dtype=torch.float64), torch.randn(3, 5, 4, 6, dtype=torch.float64)
    student.requires_grad_()
    axes = ((1,), (0, 2, 3), (0,))
    gradients = []
    for results in (pearson(student, teacher, *axes), [pearson_reference(student, teacher, dims) for dims in axes]):
        total = torch.stack([k * x.square().sum() for k, x in enumerate(results, 1)]).sum()
        gradients.append(torch.autograd.grad(total, student)[0])
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


@DIMS
def test_a_constant_correlates_with_nothing(dims: tuple[int, ...]) -> None:
    student, teacher = torch.full((2, 3, 4, 5), 7.0, requires_grad=True), torch.randn(2, 3, 4, 5)
    (correlation,) = pearson(student, teacher, dims)
    (gradient,) = torch.autograd.grad(correlation.sum(), student)
    assert correlation.abs().max().item() == 0
    assert gradient.isfinite().all()


def test_precise_far_from_zero() -> None:
    student, teacher = torch.randn(1, 64, 8, 8), torch.randn(1, 64, 8, 8)
    (far,), (near,) = pearson(student + 100, teacher - 300, (1,)), pearson(student, teacher, (1,))
    torch.testing.assert_close(far, near, rtol=0, atol=1e-4)


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = (torch.randn(2, 3, 4, 5, requires_grad=True) for _ in range(2))
    assert torch.autograd.grad(pearson(student, teacher, (1,))[0].sum(), teacher, allow_unused=True) == (None,)
