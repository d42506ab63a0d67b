"""The best checkpoint is the best by what the task is judged by."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from densekd.metric_names import MetricName, MetricNames
from densekd.run.callbacks import Checkpoints, FiniteGuard, StepSeeds, seed_generators
from densekd.stopping import StopRequest
from densekd.tasks import Detection, Segmentation

ERROR = MetricNames((MetricName("error", "error", "m", better="lower"),), ("error",))


class Trained(nn.Module):
    def __init__(self, metrics: MetricNames) -> None:
        super().__init__()
        self.task = SimpleNamespace(metrics=metrics)


@pytest.mark.parametrize(
    ("metrics", "other", "best"),
    [(Detection.metrics, "miou", "2"), (Segmentation.metrics, "ap", "2"), (ERROR, "miou", "3")],
    ids=["detection", "segmentation", "lower is better"],
)
def test_best_by_the_headline(tmp_path: Path, metrics: MetricNames, other: str, best: str) -> None:
    module = Trained(metrics)
    checkpoints = Checkpoints(tmp_path, 1, FiniteGuard(1), {}, StopRequest())
    for step, score in enumerate([30.0, float("nan"), 41.0, 29.0, 40.0]):
        values = {metrics.headline.key: torch.tensor(score), other: torch.tensor(50.0 + step)}
        trainer: Any = SimpleNamespace(
            callback_metrics={f"val/{key}": value for key, value in values.items()},
            lightning_module=module,
            world_size=1,
            save_checkpoint=lambda path, step=step: path.write_text(str(step)),
        )
        checkpoints.on_validation_end(trainer, module)  # type: ignore[arg-type]
    assert (tmp_path / "best.ckpt").read_text() == best
    assert (tmp_path / "last.ckpt").read_text() == "4"
    assert checkpoints.best_score == (41 if best == "2" else -29)


def test_every_step_of_every_process_has_a_seed_of_its_own() -> None:
    def drawn(seed: int, batch: int, rank: int, world: int) -> float:
        trainer: Any = SimpleNamespace(world_size=world, global_rank=rank)
        module: Any = SimpleNamespace(device=torch.device("cpu"))
        StepSeeds(seed).on_train_batch_start(trainer, module, None, batch)
        return torch.rand(()).item()

    draws = [drawn(0, batch, rank, 2) for batch in range(3) for rank in range(2)]
    assert len(set(draws)) == 6
    # Nothing of it depends on what was drawn before.
    assert drawn(0, 2, 1, 2) == draws[5]
    assert drawn(1, 2, 1, 2) != draws[5]


def test_a_resumed_training_knows_its_best(tmp_path: Path) -> None:
    metrics, module = Segmentation.metrics, Trained(Segmentation.metrics)
    before = Checkpoints(tmp_path, 1, FiniteGuard(1), {}, StopRequest())
    before.best_score = 41.0
    resumed = Checkpoints(tmp_path, 1, FiniteGuard(1), {}, StopRequest())
    resumed.load_state_dict(before.state_dict())
    trainer: Any = SimpleNamespace(
        callback_metrics={f"val/{metrics.headline.key}": torch.tensor(40.0)},
        lightning_module=module,
        world_size=1,
        save_checkpoint=lambda path: path.write_text("40"),
    )
    resumed.on_validation_end(trainer, module)  # type: ignore[arg-type]
    assert not (tmp_path / "best.ckpt").exists()
    assert (tmp_path / "last.ckpt").read_text() == "40"


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_generators_are_seeded_as_torch_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(seed)
    expected = torch.rand(4)
    seed_generators(seed, torch.device("cpu"))
    assert torch.equal(torch.rand(4), expected)
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    seed_generators(seed, torch.device("cuda"))
    assert torch.equal(torch.rand(4), expected)
    assert seeded == [seed]
