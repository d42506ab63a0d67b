"""The cross-entropy of upsampled logits against the same after ``F.interpolate``."""

import pytest
import torch
from kernel_cases import (
    COMPILES,
    CORNERS,
    LAYOUTS,
    PRECISIONS,
    SIZES,
    VOID,
    Function,
    Layout,
    Sizes,
    agree,
    autocast_changes_nothing,
    compiles_as_one_graph,
    huge_logits,
    maps,
    never_holds_the_upsampled_map,
)
from torch import Tensor

from densekd.kernels import resized_cross_entropy
from densekd.kernels.resized_cross_entropy import resized_cross_entropy_reference


def functions(labels: Tensor) -> tuple[Function, Function]:
    """Kernel and reference, of the logits alone."""
    return (
        lambda s: resized_cross_entropy(s, labels, None, VOID),
        lambda s: resized_cross_entropy_reference(s, labels, None, VOID),
    )


@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("weighted", ["plain", "weighted"])
def test_equals_the_reference(sizes: Sizes, weighted: str, align_corners: bool) -> None:
    logits, _, labels, _ = maps(sizes)
    weight = torch.linspace(0.5, 2, 7, dtype=logits.dtype) if weighted == "weighted" else None
    arguments = (logits, labels, weight, VOID, align_corners)
    agree(resized_cross_entropy(*arguments), resized_cross_entropy_reference(*arguments), logits)


@PRECISIONS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_precision_and_layout(dtype: torch.dtype, layout: Layout) -> None:
    logits, _, labels, _ = maps(SIZES[0], dtype)
    logits = layout(logits.detach().clone()).requires_grad_()
    ours, reference = functions(labels)
    agree(ours(logits), reference(logits), logits)


def test_gradcheck() -> None:
    logits, _, labels, _ = maps(((2, 3), (3, 2), (5, 7)), classes=3)
    assert torch.autograd.gradcheck(functions(labels)[0], logits)


def test_huge_logits() -> None:
    logits, teacher, labels, _ = maps(SIZES[0])
    huge_logits(lambda t: functions(labels), logits, teacher)


def test_one_class_is_certain() -> None:
    """Of one class every pixel's softmax is 1."""
    logits, _, labels, _ = maps(SIZES[0], classes=1)
    ours, reference = functions(labels)
    agree(ours(logits), reference(logits), logits)
    assert ours(logits).item() == 0


def test_all_void_is_zero_without_gradient() -> None:
    logits, _, labels, _ = maps(SIZES[0])
    value = resized_cross_entropy(logits, torch.full_like(labels, VOID), None, VOID)
    assert value.item() == 0
    assert torch.autograd.grad(value, logits)[0].abs().max() == 0


@COMPILES
def test_compiles_as_one_graph() -> None:
    logits, _, labels, _ = maps(SIZES[0], torch.float32)
    compiles_as_one_graph(functions(labels)[0], logits)


def test_autocast_changes_nothing() -> None:
    logits, _, labels, _ = maps(SIZES[0], torch.float32)
    autocast_changes_nothing(functions(labels)[0], logits)


def test_the_upsampled_map_is_never_held() -> None:
    never_holds_the_upsampled_map(lambda teacher, labels, size: functions(labels))


def test_labels_that_are_no_class_are_refused() -> None:
    logits, _, labels, _ = maps(SIZES[0])
    labels[0, 0, 0] = 9
    with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
        resized_cross_entropy(logits, labels, None, VOID)
