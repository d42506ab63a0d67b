"""The game of student and discriminator: who pays for what, sound at the edges, for any size."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.losses.adversarial.adversarial import Adversarial
from densekd.losses.adversarial.discriminator import Discriminator, discriminator_loss, generator_loss, gradient_penalty
from densekd.losses.adversarial.sagan import SelfAttention, SpectralConv

C = 3
OBJECTIVES = pytest.mark.parametrize("objective", ["wgan-gp", "hinge"])


def maps(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    student, teacher = (torch.randn(shape, generator=generator, dtype=torch.float64).mul(2).to(dtype) for _ in range(2))
    return student.requires_grad_(), teacher


def test_the_student_pays_for_its_own_part_alone() -> None:
    student, teacher = maps(2, C, 16, 16)
    gradients = []
    loss = Adversarial(C, "hinge").double().eval()
    for weight in (0.0, 100.0):
        loss.discriminator_weight = weight
        loss.zero_grad()
        gradients.append(torch.autograd.grad(loss(student, teacher), student)[0])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)
    loss.discriminator_weight = 0.0
    loss(student, teacher).backward()
    assert all(not parameter.grad.any() for parameter in loss.parameters() if parameter.grad is not None)
    assert teacher.grad is None


def test_the_discriminator_is_called_in_the_originals_order() -> None:
    """Student for the generator, student, teacher, penalty: one power iteration and one batch statistic each."""
    loss = Adversarial(C).double()
    seen: list[Tensor] = []
    loss.discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    student, teacher = maps(2, C, 8, 8)
    torch.manual_seed(0)
    loss(student, teacher)
    torch.manual_seed(0)
    share = torch.rand(2, 1, 1, 1, dtype=torch.float64)
    expected = (student, student, teacher, share * teacher + (1 - share) * student)
    assert len(seen) == 4
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))
    assert loss.discriminator.norm.num_batches_tracked == 4


@pytest.mark.parametrize(
    ("size", "scores"),
    [
        ((1, 1), (1, 1)),
        ((7, 90), (1, 2)),
        ((64, 64), (1, 1)),
        ((65, 65), (1, 1)),
        ((64, 128), (1, 5)),
        ((81, 64), (2, 1)),
    ],
)
def test_any_size(size: tuple[int, int], scores: tuple[int, int]) -> None:
    assert Discriminator(C)(torch.randn(1, C, *size)).shape == (1, 1, *scores)


@OBJECTIVES
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (17, 33), (9, 70)])
def test_small_logits_are_upsampled_to_64(objective: Any, size: tuple[int, int]) -> None:
    """As if both maps had been upsampled before they came here; the gradient finds its way back."""
    loss = Adversarial(C, objective).double().eval()
    student, teacher = maps(2, C, *size)
    large = tuple(max(64, n) for n in size)
    values = []
    for fit in (lambda x: x, lambda x: F.interpolate(x, size=large, mode="bilinear", align_corners=False)):
        torch.manual_seed(0)
        value = loss(fit(student), fit(teacher))
        values.append((value.detach(), *torch.autograd.grad(value, student)))
    assert values[0][1].shape == (2, C, *size)
    assert values[0][1].any()
    if objective == "hinge":
        torch.testing.assert_close(values[0][0], values[1][0], rtol=1e-9, atol=1e-12)
    # The penalty is on the gradient with respect to the map that came, which moves the discriminator alone.
    torch.testing.assert_close(values[0][1], values[1][1], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("preprocess", ["batch_norm", "tanh", "image"])
def test_preprocess(preprocess: Any) -> None:
    x = torch.randn(2, C, 64, 64).mul(50)
    discriminator = Discriminator(C, preprocess)
    mean, std = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True).add(1e-5).sqrt()
    expected = {"batch_norm": (x - mean) / std, "tanh": x.tanh(), "image": x / 127.5 - 1}[preprocess]
    seen: list[Tensor] = []
    discriminator.blocks[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    discriminator(x)
    torch.testing.assert_close(seen[0], expected, rtol=1e-5, atol=1e-5)


def test_spectral_norm_finds_the_largest_singular_value() -> None:
    conv = SpectralConv(3, 8).double()
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    for _ in range(500):
        conv(x)
    largest = torch.linalg.matrix_norm(conv.weight.flatten(1), ord=2)
    expected = nn.functional.conv2d(x, conv.weight / largest, conv.bias, stride=2, padding=1)
    torch.testing.assert_close(conv(x), expected, rtol=1e-6, atol=1e-9)
    assert conv.u.norm().item() == pytest.approx(1)
    assert conv.v.norm().item() == pytest.approx(1)


def test_evaluation_changes_no_state() -> None:
    loss = Adversarial(C).eval()
    before = copy.deepcopy(loss.state_dict())
    loss(*maps(2, C, 8, 8, dtype=torch.float32))
    assert all(torch.equal(before[name], tensor) for name, tensor in loss.state_dict().items())
    loss.train()(*maps(2, C, 8, 8, dtype=torch.float32))
    changed = {name for name, tensor in loss.state_dict().items() if not torch.equal(before[name], tensor)}
    assert {name.rpartition(".")[2] for name in changed} == {
        "u",
        "v",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_state_round_trip() -> None:
    loss, other = Adversarial(C), Adversarial(C)
    inputs = maps(2, C, 8, 8, dtype=torch.float32)
    loss(*inputs)
    other.load_state_dict(loss.state_dict())
    values = []
    for one in (loss, other):
        torch.manual_seed(0)
        values.append(one(*inputs).item())
    assert values[0] == values[1]


def test_attention_is_the_formula_and_starts_as_the_identity() -> None:
    layer = SelfAttention(16)
    x = torch.randn(2, 16, 2, 3)
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.gamma, 0.5)
    q, k, v = (conv(x).flatten(2) for conv in (layer.query, layer.key, layer.value))
    expected = torch.empty(2, 16, 6)
    for b in range(2):
        for i in range(6):
            a = torch.stack([q[b, :, i] @ k[b, :, j] for j in range(6)]).softmax(0)
            expected[b, :, i] = 0.5 * sum(a[j] * v[b, :, j] for j in range(6)) + x[b].flatten(1)[:, i]
    torch.testing.assert_close(layer(x).flatten(2), expected)


def test_objectives_by_hand() -> None:
    fake, real = torch.tensor([-2.0, 0.5]), torch.tensor([3.0, 0.0])
    assert generator_loss(fake).item() == 0.75
    assert discriminator_loss(fake, real, "wgan-gp").item() == -0.75 - 1.5
    assert discriminator_loss(fake, real, "hinge").item() == (0 + 1) / 2 + (0 + 1.5) / 2


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def test_penalty_by_hand_is_over_all_images() -> None:
    x = torch.randn(3, 2, 4, 4)
    gradients = torch.tensor([0.5, 1.0, 3.0])
    weight = torch.zeros(3, 2, 4, 4)
    weight[:, 1, 2, 3] = gradients
    value = gradient_penalty(Function(lambda x: weight * x), x)
    assert value.item() == pytest.approx((0.25 + 0 + 4) / 3)


def test_penalty_of_a_flat_discriminator_has_a_finite_gradient() -> None:
    scale = torch.zeros((), requires_grad=True)
    value = gradient_penalty(Function(lambda x: scale * x.sum((1, 2, 3))), torch.randn(2, 1, 3, 3))
    value.backward()
    assert value.item() == 1
    assert scale.grad is not None
    assert scale.grad.item() == 0


def extremes() -> dict[str, tuple[Tensor, Tensor]]:
    student, teacher = (x.detach().float() for x in maps(2, C, 6, 7))
    peak = torch.zeros(2, C, 6, 7)
    peak[:, 1, 2, 3] = 200
    return {
        "equal": (student, student),
        "constant": (torch.full((2, C, 6, 7), 3.0), torch.full((2, C, 6, 7), -1.0)),
        "constant and equal": (torch.zeros(2, C, 6, 7), torch.zeros(2, C, 6, 7)),
        "huge": (1e4 * student, 1e4 * teacher),
        "peak": (peak, peak.flip(1, 2, 3)),
        "one position, one image": (student[:1, :, :1, :1], teacher[:1, :, :1, :1]),
    }


@OBJECTIVES
@pytest.mark.parametrize("preprocess", ["batch_norm", "tanh", "image"])
@pytest.mark.parametrize(("student", "teacher"), [pytest.param(*pair, id=name) for name, pair in extremes().items()])
def test_finite_at_the_extremes(objective: Any, preprocess: Any, student: Tensor, teacher: Tensor) -> None:
    loss = Adversarial(C, objective, preprocess)
    student = student.clone().requires_grad_()
    value = loss(student, teacher)
    value.backward()
    assert value.isfinite()
    assert student.grad is not None
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (student, *loss.parameters()))


def test_one_channel() -> None:
    student, teacher = maps(1, 1, 5, 5, dtype=torch.float32)
    assert Adversarial(1)(student, teacher).isfinite()


def test_half_precision_inputs() -> None:
    loss = Adversarial(C).eval()
    student, teacher = maps(2, C, 8, 8, dtype=torch.bfloat16)
    values = []
    for cast in (torch.bfloat16, torch.float32):
        torch.manual_seed(0)
        inputs = student.detach().to(cast).requires_grad_()
        value = loss(inputs, teacher.to(cast))
        value.backward()
        assert value.dtype == torch.float32
        assert inputs.grad is not None
        assert inputs.grad.dtype == cast
        values.append(value.item())
    assert values[0] == values[1]


def test_channels_last() -> None:
    loss = Adversarial(C)
    student, teacher = maps(2, C, 16, 70, dtype=torch.float32)
    values = []
    for layout in (torch.contiguous_format, torch.channels_last):
        other = copy.deepcopy(loss)
        torch.manual_seed(0)
        inputs = student.detach().to(memory_format=layout).requires_grad_()
        value = other(inputs, teacher.to(memory_format=layout))
        values.append((value.detach(), torch.autograd.grad(value, inputs)[0]))
    torch.testing.assert_close(values[1][0], values[0][0])
    torch.testing.assert_close(values[1][1], values[0][1], rtol=1e-4, atol=1e-7)


def test_without_gradients() -> None:
    student, teacher = maps(1, C, 8, 8, dtype=torch.float32)
    with torch.no_grad():
        assert Adversarial(C).eval()(student, teacher).isfinite()


# Torch hides this warning of its own from everybody but a filter that turns warnings into errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiled_equals_eager() -> None:
    loss = Adversarial(C).double()
    other = copy.deepcopy(loss)
    student, teacher = maps(2, C, 8, 8)
    results = []
    for module, call in ((loss, loss), (other, torch.compile(other, backend="aot_eager"))):
        torch.manual_seed(0)
        value = call(student, teacher)
        gradients = torch.autograd.grad(value, [student, *module.parameters()])
        results.append([value.detach(), *gradients, *module.buffers()])
    for compiled, eager in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-8, atol=1e-10)


def test_optimization_is_adam_at_the_authors_rate() -> None:
    shipped = {"method": "adamw", "lr": 4e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "floor": 0.0, "warmup": 0}
    assert Adversarial(C).optimization == shipped
    assert Adversarial(C, optimization={"power": 0, "lr": 1e-4}).optimization == shipped | {"power": 0, "lr": 1e-4}


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        (lambda: Adversarial(C)(torch.zeros(1, C, 4, 5), torch.zeros(1, C, 4, 6)), ["[1, 3, 4, 5]", "[1, 3, 4, 6]"]),
        (lambda: Adversarial(C)(torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 4, 5)), ["3 channels", "[1, 2, 4, 5]"]),
    ],
)
def test_mistakes_are_named(wrong: Callable[[], Any], parts: list[str]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        wrong()
    assert all(part in str(caught.value) for part in parts), caught.value


def test_nothing_but_the_power_iteration_is_drawn() -> None:
    """The discriminator is initialized from the global generator alone: the same seed, the same discriminator."""
    made = []
    for _ in range(2):
        torch.manual_seed(1)
        made.append(Adversarial(C).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert math.isclose(made[0]["discriminator.blocks.0.u"].norm().item(), 1, rel_tol=1e-5)
