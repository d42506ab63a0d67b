"""Several optimizers as one: equal to each alone, restored exactly, and at home in Lightning."""

import copy
import io
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from training_runs import StopAt, assert_same, checkpoint, losses, parsed, run

from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import (
    CombinedOptimizer,
    OptimizerConfig,
    StorageOrderAdamW,
    make_optimizer,
    make_schedule,
)
from densekd.errors import RecipeError
from densekd.stopping import Interrupted

SETTINGS = OptimizerConfig("sgd", 0.1, 10, weight_decay=0.01, floor=0.01, warmup=4)


class Game(nn.Module):
    """A loss whose parameter learns on its own terms."""

    def __init__(self, **optimization: Any) -> None:
        super().__init__()
        self.discriminator = nn.Linear(3, 1)
        own = {"method": "adamw", "lr": 4e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "floor": 0.0, "warmup": 0}
        self.optimization = own | optimization


def modules(**optimization: Any) -> tuple[nn.Module, nn.ModuleDict]:
    torch.manual_seed(0)
    return nn.Linear(3, 3), nn.ModuleDict({"adapter": nn.Linear(3, 3), "game": Game(**optimization)})


def value(student: nn.Module, others: nn.ModuleDict, x: Tensor) -> Tensor:
    total: Tensor = others["game"].discriminator(others["adapter"](student(x))).square().mean()
    return total


def same(one: Any, other: Any) -> bool:
    """Say whether two nested states are equal to the last bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def joint(optimizer: torch.optim.Optimizer) -> CombinedOptimizer:
    assert isinstance(optimizer, CombinedOptimizer)
    return optimizer


def test_parts_and_groups() -> None:
    student, others = modules()
    optimizer = joint(make_optimizer(student, others, SETTINGS))
    assert [type(part) for part in optimizer.parts] == [torch.optim.SGD, StorageOrderAdamW]
    groups = optimizer.param_groups
    assert [(g["lr"], g["weight_decay"], sum(p.numel() for p in g["params"])) for g in groups] == [
        (0.1, 0.01, 24),
        (4e-4, 0.0, 4),
    ]
    assert [g for part in optimizer.parts for g in part.param_groups] == groups
    assert all(a is b for a, b in zip(groups, [g for p in optimizer.parts for g in p.param_groups], strict=True))
    assert groups[1]["betas"] == (0.9, 0.99)


def test_nobody_apart_needs_no_joint() -> None:
    student, others = modules()
    del others["game"]
    assert type(make_optimizer(student, others, SETTINGS)) is torch.optim.SGD


def test_an_unknown_field_lists_the_known_ones() -> None:
    with pytest.raises(
        RecipeError, match=r"Game.optimization: unknown field 'beta'. Did you mean 'betas'\? Known: betas"
    ):
        make_optimizer(*modules(beta=1), SETTINGS)


def test_rates_follow_each_ones_own_settings() -> None:
    student, others = modules(power=0.0)
    optimizer = make_optimizer(student, others, SETTINGS)
    schedule = make_schedule(optimizer, SETTINGS)
    alone = torch.optim.SGD(student.parameters(), lr=0.1)
    expected = make_schedule(alone, SETTINGS)
    for _ in range(12):
        assert optimizer.param_groups[0]["lr"] == alone.param_groups[0]["lr"]
        assert joint(optimizer).parts[1].param_groups[0]["lr"] == 4e-4
        for one in (optimizer, alone, schedule, expected):
            one.step()


def test_the_critic_decays_with_the_students_power() -> None:
    student, others = modules()
    optimizer = make_optimizer(student, others, SETTINGS)
    schedule = make_schedule(optimizer, SETTINGS)
    for n in range(10):
        assert optimizer.param_groups[1]["lr"] == pytest.approx(4e-4 * (1 - n / 10) ** 0.9)
        optimizer.step()
        schedule.step()


def train_jointly(
    pair: tuple[nn.Module, nn.ModuleDict], optimizer: torch.optim.Optimizer, schedule: Any, steps: range
) -> None:
    for n in steps:
        optimizer.zero_grad()
        value(*pair, torch.randn(5, 3, generator=torch.Generator().manual_seed(n))).backward()
        optimizer.step()
        schedule.step()


def test_steps_equal_separate_optimisers() -> None:
    pair = modules()
    other = copy.deepcopy(pair)
    optimizer = make_optimizer(*pair, SETTINGS)
    train_jointly(pair, optimizer, make_schedule(optimizer, SETTINGS), range(5))
    shared = [*other[0].parameters(), *other[1]["adapter"].parameters()]
    sgd = torch.optim.SGD(shared, lr=0.1, momentum=0.9, weight_decay=0.01)
    adam = torch.optim.Adam(other[1]["game"].parameters(), lr=4e-4, betas=(0.9, 0.99))
    schedule = make_schedule(sgd, SETTINGS)
    for n in range(5):
        adam.param_groups[0]["lr"] = 4e-4 * (1 - n / 10) ** 0.9
        for part in (sgd, adam):
            part.zero_grad()
        value(*other, torch.randn(5, 3, generator=torch.Generator().manual_seed(n))).backward()
        for step in (sgd.step, adam.step, schedule.step):
            step()
    for one, two in zip(pair, other, strict=True):
        for name, parameter in one.named_parameters():
            torch.testing.assert_close(parameter, two.get_parameter(name), rtol=1e-6, atol=1e-8, msg=name)


def test_state_round_trip_is_exact() -> None:
    """Through bytes and ``weights_only``, in the middle of a training, into objects made anew."""
    whole = modules()
    optimizer = make_optimizer(*whole, SETTINGS)
    schedule = make_schedule(optimizer, SETTINGS)
    train_jointly(whole, optimizer, schedule, range(3))
    buffer = io.BytesIO()
    states = [part.state_dict() for part in (*whole, optimizer, schedule)]
    torch.save(states, buffer)
    buffer.seek(0)
    resumed = modules()
    other = make_optimizer(*resumed, SETTINGS)
    other_schedule = make_schedule(other, SETTINGS)
    saved = torch.load(buffer, weights_only=True)
    for part, state in zip((*resumed, other, other_schedule), saved, strict=True):
        part.load_state_dict(state)
    assert all(a is b for a, b in zip(other.param_groups, (p.param_groups[0] for p in joint(other).parts), strict=True))
    assert all(part.state is other.state for part in joint(other).parts)
    assert len(other.state) == 6
    train_jointly(whole, optimizer, schedule, range(3, 7))
    train_jointly(resumed, other, other_schedule, range(3, 7))
    assert optimizer.param_groups[1]["lr"] == other.param_groups[1]["lr"] < 4e-4
    for one, two in zip(whole, resumed, strict=True):
        assert all(torch.equal(parameter, two.get_parameter(name)) for name, parameter in one.named_parameters())
    assert same(optimizer.state_dict(), other.state_dict())


def test_a_state_of_other_groups_is_refused() -> None:
    student, others = modules()
    state = torch.optim.SGD(student.parameters(), lr=0.1).state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        make_optimizer(student, others, SETTINGS).load_state_dict(state)


def test_closure_runs_once_with_gradients() -> None:
    student, others = modules()
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        loss = value(student, others, torch.ones(2, 3))
        loss.backward()
        return loss

    with torch.no_grad():
        loss = make_optimizer(student, others, SETTINGS).step(closure)
    assert calls == [True]
    assert isinstance(loss, Tensor)


class NoTask:
    """The least a distiller asks for."""

    def student_taps(self, student: nn.Module) -> list[str]:
        return []

    def metric(self) -> None:
        return None


def test_each_part_is_clipped_by_its_own_norm() -> None:
    student, others = modules()
    optimizer = joint(make_optimizer(student, others, SETTINGS))
    for factor, part in zip((3.0, 400.0), optimizer.parts, strict=True):
        for parameter in part.param_groups[0]["params"]:
            parameter.grad = torch.full_like(parameter, factor)
    distiller = Distiller(student, None, NoTask(), {}, SETTINGS)  # type: ignore[arg-type]
    distiller.trainer = L.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", barebones=True)
    distiller.configure_gradient_clipping(optimizer, 1.0, "norm")
    for part in optimizer.parts:
        norm = torch.stack([p.grad.norm() for p in part.param_groups[0]["params"]]).norm()
        assert norm.item() == pytest.approx(1, rel=1e-4)


@pytest.fixture
def adversarial(recipe: dict[str, Any]) -> dict[str, Any]:
    """A game beside an adapter's term, under bf16, accumulation, clipping, a schedule and a warm-up."""
    recipe["teacher"] = {"model": "fpn", "options": {"backbone": "resnet18_050"}, "checkpoint": "untrained"}
    recipe["distill"] = [
        {"method": "adversarial", "weight": {"value": 0.001, "warmup": 3}},
        {"method": "cwd", "weight": 1, "student": "pre_logits", "teacher": "features.0", "adapter": "conv"},
    ]
    recipe["training"] |= {"precision": "bf16", "accumulate": 2, "clip": 1.0, "steps": 5, "log_every": 1}
    return recipe


@pytest.mark.parametrize("method", ["adamw", "sgd"])
def test_resume_of_a_game_is_exact(
    adversarial: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    adversarial["optimizer"] = {"method": method, "lr": 0.003, "weight_decay": 0.02, "warmup": 2}
    recipe = parsed(adversarial)
    run(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, 3, signal.SIGTERM)
        with pytest.raises(Interrupted, match="Stopped at step 3 of 5"):
            run(recipe, tmp_path / "parts")
    before = checkpoint(tmp_path / "parts")
    run(recipe, tmp_path / "parts", "resume")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, resumed = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert same(whole["optimizer_states"], resumed["optimizer_states"])
    assert same(whole["lr_schedulers"], resumed["lr_schedulers"])
    discriminator = {k: v for k, v in whole["state_dict"].items() if ".discriminator." in k}
    changed = {k for k, v in discriminator.items() if not torch.equal(v, before["state_dict"][k])}
    assert {k.rpartition("discriminator.")[2] for k in discriminator.keys() - changed} <= {
        *(f"attentions.{i}.key.bias" for i in (2, 3)),
        "score.bias",
    }
    groups = whole["optimizer_states"][0]["param_groups"]
    assert groups[-1]["lr"] == 0.0
    assert groups[-1]["betas"] == (0.9, 0.99)
