"""The best checkpoint is the best by what the task is judged by."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from densekd.metrics import BoxMetric, ConfusionMatrix
from densekd.run.callbacks import Checkpoints, FiniteGuard


class Trained(nn.Module):
    def __init__(self, metric: nn.Module) -> None:
        super().__init__()
        self.metric = metric


@pytest.mark.parametrize(("metric", "other"), [(BoxMetric(2), "miou"), (ConfusionMatrix(2, 255), "ap")])
def test_best_by_the_headline(tmp_path: Path, metric: Any, other: str) -> None:
    module = Trained(metric)
    checkpoints = Checkpoints(tmp_path, 1, FiniteGuard(1), {})
    for step, score in enumerate([30.0, float("nan"), 41.0, 40.0]):
        trainer: Any = SimpleNamespace(
            callback_metrics={f"val/{metric.headline}": torch.tensor(score), f"val/{other}": torch.tensor(50.0 + step)},
            lightning_module=module,
            world_size=1,
            save_checkpoint=lambda path, step=step: path.write_text(str(step)),
        )
        checkpoints.on_validation_end(trainer, module)  # type: ignore[arg-type]
    assert (tmp_path / "best.ckpt").read_text() == "2"
    assert (tmp_path / "last.ckpt").read_text() == "3"
    assert checkpoints.best_score == 41
