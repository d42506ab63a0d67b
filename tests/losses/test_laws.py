"""Laws that every loss obeys: a new row of ``LOSSES`` is covered with its default options.

Instances of other behaviors, and the laws that do not hold for a loss, are in ``helpers/laws/<method>.py``.
"""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import laws
import pytest
import torch
from laws import EXCEPTIONS, MAKE, VOID, inner, learns_boxes, target_for
from torch import Tensor, nn

from densekd.losses import LOSSES
from densekd.losses.cwd import CWD
from densekd.losses.pixel import Pixel

# While it traces an autograd function, torch.compile makes an instance of the base class, against torch's own advice.
TRACING = "ignore:.*should not be instantiated:DeprecationWarning"


@pytest.fixture(params=MAKE)
def make(request: pytest.FixtureRequest) -> Callable[[], nn.Module]:
    """Make one instance; a law that is declared not to hold for it, with its reason, is left out."""
    declared = EXCEPTIONS.get(request.param, set()) | EXCEPTIONS.get(request.param.split()[0], set())
    law = request.node.originalname.removeprefix("test_")
    if law in declared or any(name in request.node.name for name in declared if name != law):
        pytest.skip(f"declared: {law} does not hold for {request.param}")
    return MAKE[request.param]


@pytest.fixture
def loss(make: Callable[[], nn.Module]) -> nn.Module:
    return make()


def maps(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return a student that wants a gradient, a teacher, and labels at twice the size with void pixels."""
    generator = torch.Generator().manual_seed(7)
    student, teacher = (torch.randn(shape, generator=generator).mul(3).to(dtype) for _ in range(2))
    B, C, H, W = shape
    labels = torch.randint(C, (B, 2 * H, 2 * W), generator=generator)
    labels[:, 0] = VOID
    return student.requires_grad_(), teacher, labels


def value_of(loss: nn.Module, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Call a loss with the target it learns from."""
    value: Tensor = loss(student, teacher, target_for(loss, student, labels))
    return value


def value_and_gradient(loss: nn.Module, student: Tensor, teacher: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    value = value_of(loss, student, teacher, labels)
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach(), gradient


def test_every_loss_is_here() -> None:
    assert {name.split()[0] for name in MAKE} == set(LOSSES), "a key of MAKE begins with a name in LOSSES"
    for name, make in MAKE.items():
        assert type(inner(make())) is LOSSES[name.split()[0]]


def test_every_file_of_laws_belongs_to_a_loss() -> None:
    """Else nothing would read it."""
    files = {path.stem for path in Path(laws.__file__).parent.glob("*.py")} - {"__init__"}
    assert files <= {name.partition(".")[0] for name in LOSSES}


def test_every_exception_names_a_law_and_an_instance() -> None:
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    cases = {*extremes(), "float64"}
    for key, declared in EXCEPTIONS.items():
        assert key in MAKE or key in LOSSES, key
        assert declared <= tests | cases, (key, declared - tests - cases)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_finite_positive_scalar(loss: nn.Module, dtype: torch.dtype) -> None:
    value, gradient = value_and_gradient(loss, *maps(2, 5, 6, 7, dtype=dtype))
    assert value.shape == ()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert value.isfinite()
    assert value.item() > 1e-4
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()


def test_zero_for_equal_tensors(loss: nn.Module) -> None:
    student, _, labels = maps(2, 5, 6, 7)
    value, gradient = value_and_gradient(loss, student, student.detach().clone(), labels)
    assert value.abs().item() <= 1e-6
    assert gradient.abs().max().item() <= 1e-5


def test_gradient_reaches_the_student_alone(loss: nn.Module) -> None:
    student, teacher, labels = maps(2, 5, 6, 7)
    value_of(loss, student, teacher, labels).backward()
    assert student.grad is not None
    assert student.grad.abs().sum().item() > 1e-4
    assert teacher.grad is None
    assert not teacher.requires_grad


def test_the_maps_are_left_as_they_are(loss: nn.Module) -> None:
    """Forward and backward: the same maps belong to the network and to other losses."""
    student, teacher, labels = maps(2, 5, 6, 7)
    before = [x.detach().clone() for x in (student, teacher, labels)]
    value_of(loss, student, teacher, labels).backward()
    for x, unchanged in zip((student, teacher, labels), before, strict=True):
        assert torch.equal(x, unchanged)


def test_a_step_against_the_gradient_lowers_it(loss: nn.Module) -> None:
    student, teacher, labels = maps(2, 5, 6, 7, dtype=torch.float64)
    value, gradient = value_and_gradient(loss, student, teacher, labels)
    step = 1e-4 * value / gradient.square().sum()
    after = value_of(loss, student - step * gradient, teacher, labels)
    assert after.item() == pytest.approx((1 - 1e-4) * value.item(), rel=1e-6)


def test_unchanged_under_channels_last(loss: nn.Module) -> None:
    student, teacher, labels = maps(2, 5, 6, 7)
    value, gradient = value_and_gradient(loss, student, teacher, labels)
    last = [x.detach().to(memory_format=torch.channels_last) for x in (student, teacher)]
    assert not last[0].is_contiguous()
    other, other_gradient = value_and_gradient(loss, last[0].requires_grad_(), last[1], labels)
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(other_gradient, gradient)


def extremes() -> dict[str, tuple[Tensor, Tensor]]:
    student, teacher, _ = maps(2, 5, 6, 7)
    student = student.detach()
    peak = torch.zeros(2, 5, 6, 7)
    peak[:, 2, 3, 4] = 200
    return {
        "constant maps": (torch.full((2, 5, 6, 7), 3.0), torch.full((2, 5, 6, 7), -1.0)),
        "constant student": (torch.zeros(2, 5, 6, 7), teacher),
        "huge logits": (1e4 * student, 1e4 * teacher),
        "student underflows": (peak, peak.flip(1, 2, 3)),
        "teacher flat": (peak, torch.zeros(2, 5, 6, 7)),
        "one channel": (student[:, :1], teacher[:, :1]),
        "one position": (student[:, :, :1, :1], teacher[:, :, :1, :1]),
        "one image": (student[:1], teacher[:1]),
    }


@pytest.mark.parametrize(("student", "teacher"), [pytest.param(*pair, id=name) for name, pair in extremes().items()])
def test_finite_at_the_extremes(loss: nn.Module, student: Tensor, teacher: Tensor) -> None:
    labels = torch.zeros(len(student), *student.shape[-2:], dtype=torch.int64)
    value, gradient = value_and_gradient(loss, student.clone().requires_grad_(), teacher, labels)
    assert value.isfinite()
    assert value.item() >= -1e-6
    assert gradient.isfinite().all()


def test_underflow_costs_what_it_should() -> None:
    """KL(uniform || peak of 200) over n positions: 200 (n - 1) / n - log n, up to e^-200."""
    student, teacher = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    student[0, 0, 1, 2] = 200
    assert CWD(1.0)(student, teacher).item() == pytest.approx(200 * 15 / 16 - torch.tensor(16.0).log().item(), rel=1e-6)


def test_state_round_trip(make: Callable[[], nn.Module]) -> None:
    student, teacher, labels = maps(2, 5, 6, 7)
    loss, other = make(), make()
    value_of(loss, student, teacher, labels)
    other.load_state_dict(loss.state_dict(), strict=True)
    values = [value_of(x, student, teacher, labels) for x in (loss, other)]
    torch.testing.assert_close(*values, rtol=0, atol=0)


def in_evaluation(loss: nn.Module) -> nn.Module:
    """Return the loss with nothing remembered at a call; skip a law on labels for those that need none."""
    try:
        loss(*maps(2, 5, 6, 7)[:2], None)
    except ValueError as error:
        assert ("boxes" if learns_boxes(type(inner(loss))) else "labels") in str(error)  # noqa: PT017
        return loss.eval()
    pytest.skip("needs no labels")


def test_void_positions_do_not_count(loss: nn.Module) -> None:
    loss = in_evaluation(loss)
    student, teacher, labels = maps(2, 5, 6, 7)
    labels[:, :, ::3] = VOID
    void = (labels[:, ::2, ::2] == VOID)[:, None]
    before, gradient = value_and_gradient(loss, student, teacher, labels)
    changed = torch.where(void, 50.0, student.detach()).requires_grad_()
    after, after_gradient = value_and_gradient(loss, changed, torch.where(void, -9.0, teacher), labels)
    assert 0 < void.float().mean().item() < 1
    assert after.item() == before.item()
    torch.testing.assert_close(after_gradient, gradient, rtol=0, atol=0)
    assert gradient.where(void, 0).abs().max().item() == 0


def test_all_void_costs_nothing(loss: nn.Module) -> None:
    loss = in_evaluation(loss)
    student, teacher, labels = maps(2, 5, 6, 7)
    value, gradient = value_and_gradient(loss, student, teacher, torch.full_like(labels, VOID))
    assert value.item() == 0
    assert gradient.abs().max().item() == 0


def compiled_and_eager(make: Callable[[], nn.Module], **options: Any) -> None:
    """Assert that both give one value and one gradient, from equal weights and equal random numbers."""
    torch.compiler.reset()
    eager, results = make(), []
    for loss in (eager, torch.compile(copy.deepcopy(eager), **options)):
        torch.manual_seed(1)
        results.append(value_and_gradient(loss, *maps(2, 5, 6, 7)))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6 * results[0][1].abs().max().item())


@pytest.mark.filterwarnings(TRACING)
def test_compiled_equals_eager(make: Callable[[], nn.Module]) -> None:
    """As one graph, by ``aot_eager``: traced and differentiated as for a GPU, run by torch's own operations.

    A quarter of a second for a loss; inductor takes 2 to 40 and is left to the next test.
    """
    compiled_and_eager(make, backend="aot_eager", fullgraph=True)


@pytest.mark.filterwarnings(TRACING, "ignore:.*torch.jit.script_method.*:DeprecationWarning")
@pytest.mark.skipif(shutil.which("c++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("name", ["cwd", "pixel", "ifvd", "dsd.csd"])
def test_compiled_by_inductor_equals_eager(name: str) -> None:
    """A softmax over places, one over classes, matrix products, and a pooling that inductor alone once got wrong."""
    compiled_and_eager(MAKE[name], backend="inductor", fullgraph=True)


@pytest.mark.parametrize("shape", [(2, 4, 6, 7), (2, 5, 7, 6), (1, 5, 6, 7), (2, 5, 1, 1)], ids=str)
def test_other_shapes_are_refused(loss: nn.Module, shape: tuple[int, ...]) -> None:
    student, teacher, labels = torch.randn(2, 5, 6, 7), torch.randn(shape), torch.zeros(2, 6, 7, dtype=torch.int64)
    with pytest.raises(ValueError, match="one shape") as caught:
        value_of(loss, student, teacher, labels)
    assert "[2, 5, 6, 7]" in str(caught.value)
    assert str(list(shape)) in str(caught.value)


@pytest.mark.parametrize("reduction", ["pixel", "element", "batch", "sum"])
def test_void_pixels_change_nothing(reduction: Any) -> None:
    student, teacher, labels = maps(2, 5, 6, 7)
    labels[:, :, ::3] = VOID
    void = (labels[:, ::2, ::2] == VOID)[:, None]
    loss = Pixel(VOID, 2.0, reduction, void="masked")
    before, gradient = value_and_gradient(loss, student, teacher, labels)
    changed = torch.where(void, 50.0, student.detach()).requires_grad_()
    after, after_gradient = value_and_gradient(loss, changed, torch.where(void, -9.0, teacher), labels)
    assert 0 < void.float().mean().item() < 1
    assert after.item() == before.item()
    torch.testing.assert_close(after_gradient, gradient, rtol=0, atol=0)
    assert gradient.where(void, 0).abs().max().item() == 0
    assert Pixel(VOID, 2.0, reduction)(student, teacher).item() != pytest.approx(before.item(), rel=1e-3)


def test_void_mean_is_over_the_labelled_pixels() -> None:
    student, teacher, _ = maps(1, 5, 2, 3)
    labels = torch.tensor([[[0, VOID, 1], [VOID, 2, VOID]]])
    alone = [Pixel(VOID)(student[..., i : i + 1, j : j + 1], teacher[..., i : i + 1, j : j + 1]).item()
             for i, j in ((0, 0), (0, 2), (1, 1))]  # fmt: skip
    assert Pixel(VOID, void="masked")(student, teacher, labels).item() == pytest.approx(sum(alone) / 3, rel=1e-6)


def test_masked_needs_labels() -> None:
    student, teacher, _ = maps(1, 2, 2, 2)
    with pytest.raises(ValueError, match=r"void: masked needs labels \[1, H, W\]"):
        Pixel(VOID, void="masked")(student, teacher)
