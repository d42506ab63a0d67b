"""One scalar, one backward and one step of a joint optimizer against two players who take turns."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import CombinedOptimizer, OptimizerConfig, make_optimizer, make_schedule
from densekd.distill.terms import TapPair, Term, WeightSchedule
from densekd.losses.adversarial import discriminator
from densekd.losses.adversarial.adversarial import Adversarial

C, STEPS = 3, 3
ADV, D, GP = 0.001, 0.1, 10.0
SETTINGS = OptimizerConfig("sgd", 0.1, STEPS, weight_decay=5e-4)
OBJECTIVES = pytest.mark.parametrize("objective", ["wgan-gp", "hinge"])


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A discriminator of the same parts, two of them with attention, in an eighth of the width.

    Who steps when does not depend on it; test_adversarial.py compares the full one.
    """
    monkeypatch.setattr(discriminator, "WIDTHS", tuple(width // 8 for width in discriminator.WIDTHS))
    monkeypatch.setattr(discriminator, "ATTENTION_WIDTH", discriminator.ATTENTION_WIDTH // 8)


class TwoPlayers:
    """TorchDistiller's alternation written out: the student steps, then the discriminator, on the logits from before.

    A batch in several parts adds up their mean gradients; a limit holds for each player's gradient by itself.
    """

    def __init__(
        self, student: nn.Module, discriminator: nn.Module, objective: str, clip: float = float("inf")
    ) -> None:
        self.student, self.discriminator, self.objective, self.clip = student, discriminator, objective, clip
        self.student_optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=4e-4, betas=(0.9, 0.99))
        self.n = 0

    def step(self, parts: Sequence[tuple[int, Tensor, Tensor]]) -> None:
        """Take a step on parts ``(seed, images, teacher's logits)``."""
        for optimizer, lr in ((self.student_optimizer, 0.1), (self.discriminator_optimizer, 4e-4)):
            optimizer.param_groups[0]["lr"] = lr * (1 - self.n / STEPS) ** 0.9
        self.n += 1
        mine, theirs = [], []
        for seed, images, real in parts:
            torch.manual_seed(seed)
            fake = self.student(images)
            mine.append(torch.autograd.grad(-ADV * self.discriminator(fake).mean(), list(self.student.parameters())))
            self.discriminator_optimizer.zero_grad()
            self.gradients_of_the_discriminator(fake.detach(), real)
            theirs.append([parameter.grad for parameter in self.discriminator.parameters()])
        for player, gradients in ((self.student, mine), (self.discriminator, theirs)):
            for parameter, *shares in zip(player.parameters(), *gradients, strict=True):
                parameter.grad = torch.stack(shares).mean(0)
            nn.utils.clip_grad_norm_(player.parameters(), self.clip)
        self.student_optimizer.step()
        self.discriminator_optimizer.step()

    def gradients_of_the_discriminator(self, fake: Tensor, real: Tensor) -> None:
        # Each backward follows its forward: the original runs both first and differentiates with the wrong u and v.
        if self.objective == "hinge":
            (D * torch.relu(1 + self.discriminator(fake)).mean()).backward()
            (D * torch.relu(1 - self.discriminator(real)).mean()).backward()
            return
        (D * self.discriminator(fake).mean()).backward()
        (D * -self.discriminator(real).mean()).backward()
        alpha = torch.rand(len(fake), 1, 1, 1, dtype=fake.dtype)
        between = (alpha * real + (1 - alpha) * fake).requires_grad_()
        out = self.discriminator(between)
        grad = torch.autograd.grad(out, between, torch.ones_like(out), create_graph=True)[0]
        norm = (grad.reshape(len(grad), -1) ** 2).sum(1).sqrt()
        (D * GP * ((norm - 1) ** 2).mean()).backward()


class Game:
    """The task of a student that learns from the discriminator alone."""

    def student_taps(self, student: nn.Module) -> list[str]:
        return []

    def metric(self) -> None:
        return None

    def images(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["images"]

    def target(self, batch: dict[str, Tensor]) -> None:
        return None

    def losses(self, *unused: Any) -> dict[str, Tensor]:
        return {}


class Seeded(nn.Module):
    """A loss that draws the same numbers in its k-th call as everybody who sets the seed k."""

    def __init__(self, loss: Adversarial) -> None:
        super().__init__()
        self.loss = loss
        self.calls = 0

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None) -> Tensor:
        torch.manual_seed(self.calls)
        self.calls += 1
        value: Tensor = self.loss(student, teacher)
        return value


def players(objective: Any) -> tuple[nn.Module, nn.Module, Adversarial]:
    """Return a student, a teacher and a game whose attention is awake."""
    torch.manual_seed(0)
    student, teacher = (nn.Conv2d(2, C, 3, padding=1) for _ in range(2))
    loss = Adversarial(C, objective)
    for attention in (2, 3):
        nn.init.constant_(loss.discriminator.attentions[attention].gamma, 0.3)
    return student, teacher, loss


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor], rtol: float, atol: float) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=rtol, atol=atol, msg=lambda m, name=name: f"{name}: {m}")


def gradients(module: nn.Module) -> dict[str, Tensor]:
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    return {name: gradient for name, gradient in found.items() if gradient is not None}


@OBJECTIVES
def test_steps_equal_two_players_with_two_optimizers(objective: Any) -> None:
    student, _, loss = players(objective)
    student.double()
    loss.double()
    literal = TwoPlayers(copy.deepcopy(student), copy.deepcopy(loss.discriminator), objective)
    optimizer = make_optimizer(student, nn.ModuleDict({"adversarial": loss}), SETTINGS)
    schedule = make_schedule(optimizer, SETTINGS)
    assert isinstance(optimizer, CombinedOptimizer)
    before = {name: tensor.clone() for name, tensor in loss.discriminator.state_dict().items()}
    for n in range(STEPS):
        images, real = torch.randn(2, 2, 20, 30).double(), torch.randn(2, C, 20, 30).double()
        literal.step([(n, images, real)])
        torch.manual_seed(n)
        optimizer.zero_grad()
        (ADV * loss(student(images), real)).backward()
        optimizer.step()
        schedule.step()
        for mine, theirs in ((student, literal.student), (loss.discriminator, literal.discriminator)):
            same(gradients(mine), gradients(theirs), rtol=1e-6, atol=1e-12)
            same(mine.state_dict(), theirs.state_dict(), rtol=1e-6, atol=1e-9)
    for name, tensor in loss.discriminator.state_dict().items():
        # Neither shifts the game: a constant added to all scores, or to all energies of one softmax.
        assert name.endswith(("score.bias", "key.bias")) or not torch.equal(tensor, before[name]), name


@OBJECTIVES
def test_gradients_equal_two_players(objective: Any) -> None:
    student, _, loss = players(objective)
    loss.double()
    literal = TwoPlayers(copy.deepcopy(student).double(), copy.deepcopy(loss.discriminator), objective)
    fake = torch.randn(2, C, 20, 66).double().requires_grad_()
    real = torch.randn(2, C, 20, 66).double()
    torch.manual_seed(3)
    (ADV * loss(fake, real)).backward()
    torch.manual_seed(3)
    (gradient,) = torch.autograd.grad(-ADV * literal.discriminator(fake).mean(), fake)
    literal.gradients_of_the_discriminator(fake.detach(), real)
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, gradient, rtol=1e-9, atol=1e-14)
    same(gradients(loss.discriminator), gradients(literal.discriminator), rtol=1e-8, atol=1e-12)
    same(dict(loss.discriminator.named_buffers()), dict(literal.discriminator.named_buffers()), rtol=1e-12, atol=1e-12)


def train(student: nn.Module, teacher: nn.Module, loss: nn.Module, batches: list[Tensor], **options: Any) -> None:
    """Train with Lightning, as a recipe would."""
    term = Term(loss, TapPair("logits", "logits"), nn.Identity(), WeightSchedule(ADV), "none")
    task: Any = Game()
    distiller = Distiller(student, teacher, task, {"adversarial": term}, SETTINGS)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {**quiet, "enable_checkpointing": False, "limit_val_batches": 0, **options}
    trainer = L.Trainer(accelerator="cpu", devices=1, max_steps=STEPS, **options)
    trainer.fit(distiller, *[DataLoader(batches, batch_size=None)] * 2)  # type: ignore[arg-type]


@OBJECTIVES
@pytest.mark.parametrize(("accumulate", "clip"), [(1, 0.0), (2, 0.0), (2, 1e-4)])
def test_a_trainer_equals_two_players_who_accumulate_and_clip(objective: Any, accumulate: int, clip: float) -> None:
    student, teacher, loss = players(objective)
    literal = TwoPlayers(
        copy.deepcopy(student).double(), copy.deepcopy(loss.discriminator).double(), objective, clip or float("inf")
    )
    batches = list(torch.randn(STEPS * accumulate, 2, 2, 12, 17).double())
    parts = [(n, images, copy.deepcopy(teacher).double()(images).detach()) for n, images in enumerate(batches)]
    for first in range(0, len(parts), accumulate):
        literal.step(parts[first : first + accumulate])
    seeded = Seeded(loss)
    options = {"accumulate_grad_batches": accumulate, "gradient_clip_val": clip or None, "precision": "64-true"}
    train(student, teacher, seeded, batches, **options)
    assert seeded.calls == len(batches)
    same(student.state_dict(), literal.student.state_dict(), rtol=1e-6, atol=1e-9)
    same(loss.discriminator.state_dict(), literal.discriminator.state_dict(), rtol=1e-6, atol=1e-9)


@OBJECTIVES
def test_the_discriminator_keeps_full_precision_under_bf16(objective: Any) -> None:
    student, teacher, loss = players(objective)
    seen: list[tuple[torch.dtype, torch.dtype]] = []
    student.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    loss.discriminator.blocks[0].register_forward_hook(
        lambda module, inputs, output: seen.append((inputs[0].dtype, output.dtype))
    )
    before = {name: tensor.clone() for name, tensor in loss.discriminator.state_dict().items()}
    train(student, teacher, loss, list(torch.randn(STEPS, 2, 2, 12, 17)), precision="bf16-mixed")
    assert seen[0] == (torch.float32, torch.bfloat16)
    assert set(seen[1:]) - {seen[0]} == {(torch.float32, torch.float32)}
    assert all(tensor.isfinite().all() for tensor in loss.discriminator.state_dict().values())
    assert not torch.equal(loss.discriminator.score.weight, before["score.weight"])
