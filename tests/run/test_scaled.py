"""Mixed precision in fp16: gradients are scaled, steps that overflow are skipped, resume is exact."""

import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.lr_scheduler import LambdaLR
from training_runs import StopAt, assert_same, checkpoint, losses, parsed, run

from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import CombinedOptimizer
from densekd.errors import UserError
from densekd.run import fit
from densekd.stopping import Interrupted
from densekd.tasks.segmentation.task import Segmentation

# Gradients of a loss scaled so much are beyond what fp16 holds.
TOO_MUCH = 2.0**60


@pytest.fixture
def scaled(recipe: dict[str, Any]) -> dict[str, Any]:
    """A distillation in fp16, whose teacher computes in it, too."""
    recipe["teacher"] = recipe["student"] | {"checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    recipe["training"] |= {"precision": "fp16", "log_every": 1, "clip": 1.0}
    return recipe


def begin_with(monkeypatch: pytest.MonkeyPatch, scale: float, **settings: float) -> None:
    """Let trainings begin with another scale."""

    def make(device: str) -> GradScaler:
        return GradScaler(device, init_scale=scale, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(fit, "GradScaler", make)


def scaler_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = checkpoint(folder)["MixedPrecision"]
    return found


def test_resume_is_exact_with_the_scale(
    scaled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The scale doubles after two steps without overflow: at the stop it is another one than at the start.
    begin_with(monkeypatch, 1024.0, growth_interval=2)
    run(parsed(scaled), tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, 3, signal.SIGTERM)
        with pytest.raises(Interrupted, match="Stopped at step 3 of 6"):
            run(parsed(scaled), tmp_path / "resumed")
    stopped = scaler_of(tmp_path / "resumed")
    assert (stopped["scale"], stopped["_growth_tracker"]) == (2048.0, 1)
    run(parsed(scaled), tmp_path / "resumed", "resume")
    assert_same(tmp_path / "whole", tmp_path / "resumed")
    assert losses(tmp_path / "whole") == losses(tmp_path / "resumed")
    assert scaler_of(tmp_path / "resumed")["scale"] == 8192.0


def test_a_skipped_step_is_no_error(scaled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scaled["training"] |= {"steps": 3, "checkpoint_every": 1}
    begin_with(monkeypatch, TOO_MUCH)
    weights: list[torch.Tensor] = []
    step = Distiller.training_step

    def watched(self: Distiller, *arguments: Any) -> Any:
        weights.append(torch.cat([one.detach().flatten() for one in self.student.parameters()]))
        return step(self, *arguments)

    monkeypatch.setattr(Distiller, "training_step", watched)
    run(parsed(scaled), tmp_path)
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    assert scaler_of(tmp_path)["scale"] == TOO_MUCH / 8
    # A skipped step counts: the schedule and the rows go on.
    rows = [row for row in losses(tmp_path) if row["loss"]]
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    rates = [float(row["lr"]) for row in rows]
    assert rates[0] > rates[1] > rates[2]


def test_gradients_that_fit_no_scale_stop_the_training(
    scaled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled["training"] |= {"steps": 3}
    begin_with(monkeypatch, 2.0**-12)
    with pytest.raises(UserError, match="At step 1 the gradients overflow in fp16 although"):
        run(parsed(scaled), tmp_path)


@pytest.mark.parametrize("combined", [False, True])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_what_is_clipped_is_the_gradient_itself(combined: bool, fused: bool, clip: float) -> None:
    parts = [nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))]
    makes = [torch.optim.SGD([part], lr=1.0, fused=fused) for part in parts]
    optimizer: torch.optim.Optimizer = CombinedOptimizer(makes) if combined else makes[0]
    scaler = GradScaler("cpu", init_scale=1024.0)
    schedule = LambdaLR(optimizer, lambda n: 1.0)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler)
    module = Distiller(nn.Conv2d(3, 2, 1), task=Segmentation(2, 255))
    module.trainer = trainer
    # A gradient of norm 2, then one that overflowed, which moves nothing.
    for value, moved in [(1.0, -1.0 if clip == 0 else -0.25), (float("inf"), 0.0)]:
        moving = parts if combined else parts[:1]
        before = [part.detach().clone() for part in moving]
        for part in parts:
            part.grad = torch.full((4,), 1024.0 * value)
        scaler.scale(torch.zeros(()))
        if not getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)
        module.configure_gradient_clipping(optimizer, clip)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        for part, old in zip(moving, before, strict=True):
            torch.testing.assert_close(part.detach() - old, torch.full((4,), moved))
    assert scaler.get_scale() == 512.0
